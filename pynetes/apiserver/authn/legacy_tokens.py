"""Tokens that stand in secrets: when each was last used, and which of them have been declared invalid (KEP-2799).

The day of the last use is a label of the secret, so that what nobody needs can be found and removed; the first request
of a day writes it, behind the request's back. Since when this cluster has kept such a record is in a ConfigMap.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from pynetes.apiserver.authn.jwt import InvalidToken
from pynetes.apiserver.registry import Context
from pynetes.machinery import clock, meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.registry import Registry

LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
WARNING = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens "
    "instead of auto-generated secret-based tokens."
)

log = logging.getLogger(__name__)


def today() -> str:
    """The date as the labels have it."""
    return f"{clock.now():%Y-%m-%d}"


def tracking() -> Obj:
    """The ConfigMap that says since when uses are recorded."""
    metadata = {"name": TRACKING, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"since": today()}}


def check_valid(secret: Obj, account: str) -> None:
    """Raise InvalidToken if the secret's token has been declared invalid."""
    if not meta.labels(secret).get(INVALID_SINCE):
        return
    namespace = meta.namespace(secret)
    raise InvalidToken(
        f"the token in secret {namespace}/{meta.name(secret)} for service account {namespace}/{account} has been "
        "marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
        f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
    )


class LegacyTokenUse:
    """Writes down which secrets' tokens are in use."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._writing: dict[str, asyncio.Task[None]] = {}

    def note(self, secret: Obj) -> None:
        """The secret's token was used just now."""
        key = meta.key(secret)
        if meta.labels(secret).get(LAST_USED) == today() or key in self._writing:
            return
        task = asyncio.get_running_loop().create_task(self._write(meta.namespace(secret), meta.name(secret)))
        self._writing[key] = task
        task.add_done_callback(lambda _: self._writing.pop(key, None))

    async def _write(self, namespace: str, name: str) -> None:
        def used(secret: Obj) -> None:
            secret["metadata"].setdefault("labels", {})[LAST_USED] = today()

        try:
            context = Context(skip_admission=True)
            await self._registry.update(resources.lookup("secrets"), namespace, name, used, context)
        except StatusError as error:
            log.warning("noting the use of the token in %s/%s: %s", namespace, name, error.message)

    async def stop(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writing.values(), return_exceptions=True)

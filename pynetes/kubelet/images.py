"""Getting images onto the node: names, pull policies, credentials, back-off, and the words upstream uses for each.

`ensure` returns the image or raises ImageError, whose `reason` is the waiting reason (ErrImagePull, ImagePullBackOff,
InvalidImageName, ErrImageNeverPull, ImageInspectError). One image is pulled once however many pods wait for it.
"""

import asyncio
import base64
import fnmatch
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pynetes.kubelet.backoff import Backoff
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

PARALLEL_PULLS = 5

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"^(?P<name>(?:{_DOMAIN}/)?{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?$",
    re.ASCII,
)
_HEX_ID = re.compile(r"^[a-f0-9]{64}$")

Event = Callable[[str, str, str], None]  # type, reason, message


class ImageError(Exception):
    """The image is not to be had (yet): `reason` and the text make the waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def with_default_tag(image: str) -> str:
    """The reference with `:latest` where it has neither tag nor digest; raises ValueError for an invalid one."""
    match = _REFERENCE.match(image)
    if _HEX_ID.match(image):
        raise ValueError(
            f"couldn't parse image name {_quote(image)}: invalid repository name ({image}), "
            "cannot specify 64-byte hexadecimal strings"
        )
    if match is None:
        why = "invalid reference format"
        if _REFERENCE.match(image.lower()):
            why += f": repository name ({_familiar(image)}) must be lowercase"
        raise ValueError(f"couldn't parse image name {_quote(image)}: {why}")
    return image if match["tag"] or match["digest"] else f"{image}:latest"


def _familiar(image: str) -> str:
    """The repository with the prefix that a short name stands for."""
    name = image.split("@")[0].rsplit(":", 1)[0] if ":" in image.rsplit("/", 1)[-1] else image.split("@")[0]
    return name if "/" in name else f"library/{name}"


def _quote(text: str) -> str:
    return json.dumps(text)


class Images:
    """All pulls of this node."""

    def __init__(self, runtime: Cri, backoff: Backoff | None = None) -> None:
        self._runtime = runtime
        self.backoff = backoff or Backoff()
        self._slots = asyncio.Semaphore(PARALLEL_PULLS)
        self._running: dict[tuple[str, str], asyncio.Task[float]] = {}
        self._last_error: dict[str, str] = {}

    def retry_after(self, pod: Obj, container: Obj) -> float:
        """Seconds until a failed pull may be tried again."""
        key = self._key(pod, container)
        return self.backoff.remaining(key, self.backoff.updated(key))

    @staticmethod
    def _key(pod: Obj, container: Obj) -> str:
        return f"{meta.uid(pod)}_{container.get('image', '')}"

    async def ensure(
        self, pod: Obj, container: Obj, event: Event, secrets: Callable[[], Awaitable[list[Obj]]], sandbox_config: Any
    ) -> Any:
        """The runtime's record of the container's image, pulled if the policy says so."""
        image = container.get("image", "")
        try:
            reference = with_default_tag(image)
        except ValueError as error:
            message = f"Failed to apply default image tag {_quote(image)}: {error}"
            event("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message) from None
        try:
            present = await self._runtime.image_status(reference)
        except CriError as error:
            message = f"Failed to inspect image {_quote(image)}: {error}"
            event("Warning", "InspectFailed", message)
            raise ImageError("ImageInspectError", message) from None
        policy = container.get("imagePullPolicy") or ("Always" if reference.endswith(":latest") else "IfNotPresent")
        if present is not None and policy != "Always":
            text = f"Container image {_quote(image)} already present on machine and can be accessed by the pod"
            event("Normal", "Pulled", text)
            return present
        if policy == "Never":
            message = f"Container image {_quote(image)} is not present with pull policy of Never"
            event("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        key = self._key(pod, container)
        if self.backoff.remaining(key, self.backoff.updated(key)) > 0:
            message = f"Back-off pulling image {_quote(image)}"
            event("Normal", "BackOff", message)
            raise ImageError("ImagePullBackOff", f"{message}: {self._last_error.get(key, '')}".rstrip(": "))
        event("Normal", "Pulling", f"Pulling image {_quote(image)}")
        asked = clock.monotonic()
        try:
            took = await self._pull(reference, await secrets(), sandbox_config)
            pulled = await self._runtime.image_status(reference)
        except CriError as error:
            event("Warning", "Failed", f"Failed to pull image {_quote(image)}: {error}")
            self.backoff.next(key, clock.time())
            self._last_error[key] = f"ErrImagePull: {error}"
            raise ImageError("ErrImagePull", str(error)) from None
        if pulled is None:
            raise ImageError("ErrImagePull", f"image {_quote(image)} vanished after it was pulled")
        waited = clock.format_duration(int((clock.monotonic() - asked) * 1000) / 1000)
        event(
            "Normal",
            "Pulled",
            f"Successfully pulled image {_quote(image)} in {clock.format_duration(int(took * 1000) / 1000)} "
            f"({waited} including waiting). Image size: {pulled.size} bytes.",
        )
        return pulled

    async def _pull(self, reference: str, secrets: list[Obj], sandbox_config: Any) -> float:
        """Pull with each matching credential in turn, without any at last; returns the seconds it took."""
        credentials = matching_credentials(reference, secrets)
        key = (reference, json.dumps(credentials, sort_keys=True))
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(self._pull_now(reference, credentials, sandbox_config))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def _pull_now(self, reference: str, credentials: list[dict[str, str]], sandbox_config: Any) -> float:
        async with self._slots:
            started = clock.monotonic()
            failure: CriError | None = None
            attempts: list[dict[str, str] | None] = [*credentials] or [None]
            for auth in attempts:
                try:
                    await self._runtime.pull_image(reference, auth, sandbox_config)
                    return clock.monotonic() - started
                except CriError as error:
                    failure = error
            assert failure is not None
            raise failure


def matching_credentials(reference: str, secrets: Iterable[Obj]) -> list[dict[str, str]]:
    """The credentials in image pull secrets that fit the image's registry, the most specific first."""
    found: list[tuple[str, dict[str, str]]] = []
    target = _full_path(reference)
    for secret in secrets:
        for registry, entry in _registries(secret).items():
            pattern = _registry_pattern(registry)
            if _fits(pattern, target):
                found.append((pattern, _auth(entry)))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [auth for _, auth in found]


def _registries(secret: Obj) -> dict[str, Obj]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            return json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
        if ".dockercfg" in data:
            return json.loads(base64.b64decode(data[".dockercfg"]))
    except (ValueError, AttributeError):
        return {}
    return {}


def _full_path(reference: str) -> str:
    name = reference.split("@")[0]
    if ":" in name.rsplit("/", 1)[-1]:
        name = name.rsplit(":", 1)[0]
    first = name.split("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def _registry_pattern(registry: str) -> str:
    pattern = re.sub(r"^https?://", "", registry).rstrip("/")
    pattern = re.sub(r"/v[12]$", "", pattern)
    return re.sub(r"^index\.docker\.io", "docker.io", pattern)


def _fits(pattern: str, target: str) -> bool:
    want, have = pattern.split("/", 1), target.split("/", 1)
    want_host, have_host = want[0].split("."), have[0].split(".")
    if len(want_host) != len(have_host):
        return False
    if not all(fnmatch.fnmatchcase(part, glob) for part, glob in zip(have_host, want_host, strict=True)):
        return False
    return len(want) == 1 or have[1].startswith(want[1])


def _auth(entry: Obj) -> dict[str, str]:
    """CRI's AuthConfig; the runtime knows whom it talks to, so the server's address is left out."""
    auth: dict[str, str] = {}
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode(errors="replace").partition(":")
        auth |= {"username": user, "password": password.rstrip("\0")}
    auth |= {key: entry[key] for key in ("username", "password") if entry.get(key)}
    if entry.get("identitytoken"):
        auth["identity_token"] = entry["identitytoken"]
    return auth

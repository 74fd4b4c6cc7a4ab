"""PodTolerationRestriction: a namespace's annotations say what its pods tolerate by default, and what they may.

A pod that is not best-effort also tolerates memory pressure. Of two tolerations of which one covers the other, the
wider one is kept. What the whitelist does not cover is refused; an empty whitelist covers everything.
"""

import json
from typing import TYPE_CHECKING

from pynetes.apis.core.pod_resources import qos_class
from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
MEMORY_PRESSURE: Obj = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}


class PodTolerationRestriction(Plugin):
    """See the module."""

    name = "PodTolerationRestriction"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        wanted: list[Obj] = pod["spec"].get("tolerations") or []
        if attributes.operation == "CREATE":
            wanted = merged(_listed(attributes, server, DEFAULTS), wanted)
        if qos_class(pod["spec"]) != "BestEffort":
            wanted = merged(wanted, [MEMORY_PRESSURE])
        if wanted:
            pod["spec"]["tolerations"] = wanted

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        allowed = _listed(attributes, server, WHITELIST)
        tolerated = pod["spec"].get("tolerations") or []
        if allowed and not all(any(covers(wide, each) for wide in allowed) for each in tolerated):
            text = (
                "pod tolerations (possibly merged with namespace default tolerations) "
                "conflict with its namespace whitelist"
            )
            raise StatusError(500, "", text)


def merged(first: list[Obj], second: list[Obj]) -> list[Obj]:
    """Both lists, without what another toleration covers."""
    out: list[Obj] = []
    for each in [*first, *second]:
        if not any(covers(wide, each) for wide in out):
            out = [*(narrow for narrow in out if not covers(each, narrow)), each]
    return out


def covers(wide: Obj, narrow: Obj) -> bool:
    """Whether whatever `narrow` tolerates, `wide` tolerates as well."""
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    if (narrow.get("key") or "") != (wide.get("key") or "") and not (not wide.get("key") and operator == "Exists"):
        return False
    if wide.get("effect") and narrow.get("effect") != wide["effect"]:
        return False
    if wide.get("effect") == "NoExecute" and (limit := wide.get("tolerationSeconds")) is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > limit:
            return False
    if operator == "Exists":
        return True
    same_value = (narrow.get("value") or "") == (wide.get("value") or "")
    return (narrow.get("operator") or "Equal") == "Equal" and same_value


def _listed(attributes: Attributes, server: "ApiServer", annotation: str) -> list[Obj]:
    namespace = server.registry.get(NAMESPACES, None, attributes.namespace)
    text = meta.annotations(namespace or {}).get(annotation)
    if not text:
        return []
    try:
        listed: list[Obj] = json.loads(text)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from error
    return listed

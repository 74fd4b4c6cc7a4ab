"""PodNodeSelector: the pods of a namespace run only on the nodes its annotation selects."""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, resources

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"


def _parse(text: str) -> dict[str, str]:
    pairs = (term.partition("=") for term in text.split(",") if term.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


class PodNodeSelector(Plugin):
    """See the module."""

    name = "PodNodeSelector"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE"):
            return
        wanted = self._selector(attributes, server)
        present: dict[str, str] = pod["spec"].get("nodeSelector") or {}
        if any(present.get(key, value) != value for key, value in wanted.items()):
            raise attributes.forbidden("pod node label selector conflicts with its namespace node label selector")
        if wanted:
            pod["spec"]["nodeSelector"] = {**wanted, **present}

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE"):
            return
        present: dict[str, str] = pod["spec"].get("nodeSelector") or {}
        if any(present.get(key, value) != value for key, value in self._selector(attributes, server).items()):
            raise attributes.forbidden("pod node label selector conflicts with its namespace node label selector")

    def _selector(self, attributes: Attributes, server: "ApiServer") -> dict[str, str]:
        namespace = server.registry.get(NAMESPACES, None, attributes.namespace)
        return _parse(meta.annotations(namespace or {}).get(ANNOTATION, ""))

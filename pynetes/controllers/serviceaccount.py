"""What every Namespace is given: the ServiceAccount `default` and a ConfigMap with the root certificate."""

from collections.abc import Iterable
from pathlib import Path

from pynetes.controllers.controller import Context, Controller, ignore_not_found, is_namespace_terminating
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

ROOT_CA_NAME = "kube-root-ca.crt"
_ROOT_CA_ANNOTATIONS = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using "
    "internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed "
    "across distributions of Kubernetes clusters."
}


class _PerNamespace(Controller):
    """Keeps one object of a fixed name in every namespace that is not on its way out."""

    resource: str
    object_name: str

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.watch("namespaces", self._namespace_changed)
        self.objects = self.watch(
            self.resource, self._object_changed, field_selector=f"metadata.name={self.object_name}"
        )

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.name(new),) if new is not None else ()

    def _object_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        return (meta.namespace(changed),) if changed is not None and old is not None else ()

    def fill(self, current: Obj | None) -> Obj:
        """The object as it should be, given the one that is there."""
        raise NotImplementedError

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get(key)
        if namespace is None or meta.is_deleting(namespace):
            return
        if namespace.get("status", {}).get("phase", "Active") != "Active":
            return
        current = self.objects.get(f"{key}/{self.object_name}")
        wanted = self.fill(current)
        if wanted == current:
            return
        try:
            if current is None:
                await self.client.create(
                    self.resource, {**wanted, "metadata": {"name": self.object_name, **wanted.get("metadata", {})}}, key
                )
            else:
                await ignore_not_found(self.client.update(self.resource, wanted))
        except StatusError as error:
            if error.reason != "AlreadyExists" and not is_namespace_terminating(error):
                raise


class ServiceAccountController(_PerNamespace):
    """Keeps the ServiceAccount `default`."""

    name = "serviceaccount-controller"
    account = "service-account-controller"
    resource = "serviceaccounts"
    object_name = "default"

    def fill(self, current: Obj | None) -> Obj:
        return current or {}


class RootCAPublisher(_PerNamespace):
    """Keeps the ConfigMap `kube-root-ca.crt`."""

    name = "root-ca-certificate-publisher-controller"
    account = "root-ca-cert-publisher"
    resource = "configmaps"
    object_name = ROOT_CA_NAME

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._certificate = root_certificate(context)

    def fill(self, current: Obj | None) -> Obj:
        base = current or {"metadata": {"annotations": _ROOT_CA_ANNOTATIONS}}
        data = {"ca.crt": self._certificate}
        if base.get("data") == data:
            return base
        metadata = {**base["metadata"], "annotations": {**meta.annotations(base), **_ROOT_CA_ANNOTATIONS}}
        return {**base, "metadata": metadata, "data": data}


def root_certificate(context: Context) -> str:
    """The certificate that the API server is known by: --root-ca-file, else the one we know it by ourselves."""
    if context.options.root_ca_file:
        return Path(context.options.root_ca_file).read_text()
    return (context.client.connection.ca_data or b"").decode()

"""ServiceAccount: every pod runs as an account, and gets its token.

A new pod is given the account `default` if it names none, the projected volume `kube-api-access-…` with a short-lived
token unless it or the account opts out, and the account's image pull secrets if it has none of its own. Accounts
annotated `kubernetes.io/enforce-mountable-secrets` limit which secrets their pods may refer to. Mirror pods may refer
to nothing of the kind.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.authz import references
from pynetes.machinery import clock, meta, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

SERVICE_ACCOUNTS = resources.lookup("serviceaccounts")
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_DEFAULT = "default"
_ATTEMPTS, _PAUSE = 10, 0.15  # the controller makes a new namespace's default account; give it a moment


class ServiceAccount(Plugin):
    """See the module."""

    name = "ServiceAccount"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE") or references.is_mirror(pod):
            return
        spec = pod["spec"]
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = _DEFAULT
        spec["serviceAccount"] = spec["serviceAccountName"]
        account = await _account(attributes, server, spec["serviceAccountName"])
        if _wants_token(account, pod):
            mount_token(pod)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(entry) for entry in account["imagePullSecrets"]]

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None:
            return
        if attributes.is_for("pods", "UPDATE", subresource="ephemeralcontainers"):
            await self._limit_ephemeral(attributes, server, pod)
            return
        if not attributes.is_for("pods", "CREATE"):
            return
        if references.is_mirror(pod):
            for complaint in _mirror_complaints(pod):
                raise attributes.forbidden(complaint)
            return
        name = pod["spec"].get("serviceAccountName")
        if not name:
            raise attributes.forbidden(f"no service account specified for pod {attributes.namespace}/{meta.name(pod)}")
        account = await _account(attributes, server, name)
        if _enforces(account):
            for complaint in secret_complaints(account, pod):
                raise attributes.forbidden(complaint)

    async def _limit_ephemeral(self, attributes: Attributes, server: "ApiServer", pod: Obj) -> None:
        account = await _account(attributes, server, pod["spec"].get("serviceAccountName") or _DEFAULT)
        if _enforces(account):
            allowed = {entry.get("name") for entry in account.get("secrets") or ()}
            only = {"spec": {"ephemeralContainers": pod["spec"].get("ephemeralContainers") or []}}
            for complaint in _environment_complaints(account, only, allowed):
                raise attributes.forbidden(complaint)


async def _account(attributes: Attributes, server: "ApiServer", name: str) -> Obj:
    account = server.registry.get(SERVICE_ACCOUNTS, attributes.namespace, name)
    attempts = _ATTEMPTS - 1 if name == _DEFAULT else 0
    while account is None and attempts:
        await clock.sleep(_PAUSE)
        account = server.registry.get(SERVICE_ACCOUNTS, attributes.namespace, name)
        attempts -= 1
    if account is None:
        raise attributes.forbidden(
            f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found'
        )
    return account


def _wants_token(account: Obj, pod: Obj) -> bool:
    for choice in (pod["spec"].get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if choice is not None:
            return bool(choice)
    return True


def _enforces(account: Obj) -> bool:
    return meta.annotations(account).get(_ENFORCE, "").lower() in ("true", "1", "t")


def token_volume(name: str) -> dict[str, Any]:
    """The projected volume with token, root certificate and namespace."""
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
        },
    }


def mount_token(pod: Obj) -> None:
    """Mount the token volume into every container that has nothing mounted at its path."""
    spec = pod["spec"]
    volumes = spec.get("volumes") or []
    known = next((volume["name"] for volume in volumes if volume["name"].startswith(VOLUME_PREFIX)), None)
    name = known or VOLUME_PREFIX + meta.random_suffix(5)
    needed = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
        needed = True
    if needed and known is None:
        spec["volumes"] = [*volumes, token_volume(name)]


def _mirror_complaints(pod: Obj) -> Iterator[str]:
    if pod["spec"].get("serviceAccountName"):
        yield "a mirror pod may not reference service accounts"
    if references.secret_names(pod):
        yield "a mirror pod may not reference secrets"
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                yield "a mirror pod may not use ServiceAccountToken volume projections"


def secret_complaints(account: Obj, pod: Obj) -> Iterator[str]:
    """What a pod refers to that its account does not allow."""
    allowed = {entry.get("name") for entry in account.get("secrets") or ()}
    owner = f"because service account {meta.name(account)} does not reference that"
    for volume in pod["spec"].get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if volume.get("secret") and secret not in allowed:
            yield f'volume with secret.secretName="{secret}" is not allowed {owner} secret'
    yield from _environment_complaints(account, pod, allowed)
    pullable = {entry.get("name") for entry in account.get("imagePullSecrets") or ()}
    for index, entry in enumerate(pod["spec"].get("imagePullSecrets") or ()):
        if entry.get("name") not in pullable:
            yield f'imagePullSecrets[{index}].name="{entry.get("name")}" is not allowed {owner} imagePullSecret'


_CONTAINER_WORDS = (
    ("initContainers", "init container"),
    ("containers", "container"),
    ("ephemeralContainers", "ephemeral container"),
)


def _environment_complaints(account: Obj, pod: Obj, allowed: set[Any]) -> Iterator[str]:
    because = f"is not allowed because service account {meta.name(account)} does not reference that secret"
    for field, word in _CONTAINER_WORDS:
        for container in pod["spec"].get(field) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference and reference.get("name") not in allowed:
                    yield (
                        f"{word} {container['name']} with envVar {variable['name']} referencing "
                        f'secret.secretName="{reference.get("name")}" {because}'
                    )
            for source in container.get("envFrom") or ():
                reference = source.get("secretRef")
                if reference and reference.get("name") not in allowed:
                    yield (
                        f"{word} {container['name']} with envFrom referencing "
                        f'secret.secretName="{reference.get("name")}" {because}'
                    )

"""Defaults of pods and of every template that holds one.

`pod_spec` is for all of them. What upstream defaults only in pods themselves (service links, host ports under the
host's network, requests from limits) is in `pod`.
"""

from collections.abc import Iterator

from pynetes.apis.core.pod_resources import pod_requests
from pynetes.machinery.meta import Obj

POD_SPEC = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
}
CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
FILE_MODE = 0o644
VOLUME: dict[str, Obj] = {
    "secret": {"defaultMode": FILE_MODE},
    "configMap": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE},
    "projected": {"defaultMode": FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
_TOKEN_SECONDS = 3600


def fill(obj: Obj, defaults: Obj) -> None:
    """Set each field that is absent or empty text; an empty string is how Go says absent."""
    for field, value in defaults.items():
        if obj.get(field) in (None, "") and obj.get(field) != value:
            obj[field] = value


def containers(spec: Obj) -> Iterator[Obj]:
    """Every container of a pod spec: init, app and ephemeral."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or []


def image_pull_policy(image: str) -> str:
    """Always for `latest` (said or unsaid), IfNotPresent for any other tag or a digest."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    if digest and not colon:
        return "IfNotPresent"
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def pod(obj: Obj) -> None:
    """Defaults of a Pod."""
    spec = obj.setdefault("spec", {})
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        _requests_from_limits(container.get("resources") or {})
    if spec.get("resources"):
        _pod_level_requests(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        _host_ports(spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1  # in pods only: a template keeps what it says
    pod_spec(spec)


def pod_template(template: Obj) -> None:
    """Defaults of a PodTemplateSpec."""
    template.setdefault("metadata", {})
    pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Obj) -> None:
    """Defaults of a PodSpec, wherever it stands."""
    fill(spec, POD_SPEC)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for each in containers(spec):
        _container(each)
    for each in spec.get("volumes") or []:
        volume(each)


def _container(container: Obj) -> None:
    fill(container, CONTAINER)
    fill(container, {"imagePullPolicy": image_pull_policy(container.get("image") or "")})
    container.setdefault("resources", {})
    for port in container.get("ports") or []:
        fill(port, {"protocol": "TCP"})
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        _field_ref(source)
        if "fileKeyRef" in source:
            source["fileKeyRef"].setdefault("optional", False)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(kind) is not None:
            probe(container[kind])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _http_get(handler)


def probe(value: Obj) -> None:
    """Defaults of a Probe; zero counts as unset."""
    for field, default in PROBE.items():
        value[field] = value.get(field) or default
    _http_get(value)
    if value.get("grpc") is not None:
        value["grpc"].setdefault("service", "")


def _http_get(handler: Obj) -> None:
    if handler.get("httpGet") is not None:
        fill(handler["httpGet"], {"path": "/", "scheme": "HTTP"})


def _field_ref(holder: Obj) -> None:
    if holder.get("fieldRef") is not None:
        fill(holder["fieldRef"], {"apiVersion": "v1"})
    reference = holder.get("resourceFieldRef")
    if reference is not None:
        reference.setdefault("divisor", "0")


def volume(value: Obj) -> None:
    """Defaults of a Volume; one without a source is an emptyDir."""
    sources = [field for field in value if field != "name"]
    if not sources:
        value["emptyDir"] = {}
    for source in sources:
        for field, default in VOLUME.get(source, {}).items():
            if value[source].get(field) is None:
                value[source][field] = default
    for item in (value.get("downwardAPI") or {}).get("items") or []:
        _field_ref(item)
    for source in (value.get("projected") or {}).get("sources") or []:
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items") or []:
            _field_ref(item)
    template = (value.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        fill(template.setdefault("spec", {}), {"volumeMode": "Filesystem"})
        template["spec"].setdefault("resources", {})
        template.setdefault("metadata", {})
    if value.get("image") is not None:
        fill(value["image"], {"pullPolicy": image_pull_policy(value["image"].get("reference") or "")})


def _requests_from_limits(resources: Obj) -> None:
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for name, amount in limits.items():
        requests.setdefault(name, amount)


def _pod_level_requests(spec: Obj) -> None:
    """Where pod-level limits are set: requests come from what all containers ask together, or else from the limits."""
    resources = spec["resources"]
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for name, amount in pod_requests(spec).items():
        if name in ("cpu", "memory"):
            requests.setdefault(name, amount)
    for name, amount in limits.items():
        if _pod_level(name):
            requests.setdefault(name, amount)


def _pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _host_ports(spec: Obj) -> None:
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for port in container.get("ports") or []:
            if not port.get("hostPort"):
                port["hostPort"] = port.get("containerPort", 0)

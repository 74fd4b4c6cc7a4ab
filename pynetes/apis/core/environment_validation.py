"""Validation of a container's environment, and of references to the pod's own fields and resources."""

from collections.abc import Collection, Mapping

from pynetes.apis.checks import Errors
from pynetes.apis.core import mount_validation
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

POD_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
VOLUME_FIELDS = frozenset(
    {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
)
_KNOWN_FIELDS = (
    POD_FIELDS
    | VOLUME_FIELDS
    | {"spec.restartPolicy", "spec.schedulerName", "spec.hostNetwork", "status.phase", "status.nominatedNodeName"}
)
ENV_RESOURCES = frozenset(
    {
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    }
)
VOLUME_RESOURCES = ENV_RESOURCES
_DIVISORS = {
    "cpu": ("1m", "1"),
    "memory": ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
}


def variables(errors: Errors, listed: list[Obj], volumes: Mapping[str, Obj], path: str) -> None:
    """`env` of a container of a pod with these volumes."""
    for index, variable in enumerate(listed):
        where = f"{path}[{index}]"
        errors.name(f"{where}.name", variable.get("name"), names.relaxed_env_var_name)
        source = variable.get("valueFrom")
        if source is None:
            continue
        where = f"{where}.valueFrom"
        given = 0
        if source.get("fieldRef") is not None:
            given += 1
            field_ref(errors, source["fieldRef"], POD_FIELDS, f"{where}.fieldRef")
        if source.get("resourceFieldRef") is not None:
            given += 1
            resource_field_ref(errors, source["resourceFieldRef"], ENV_RESOURCES, f"{where}.resourceFieldRef", False)
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if source.get(kind) is not None:
                given += 1
                _key_ref(errors, source[kind], f"{where}.{kind}")
        if source.get("fileKeyRef") is not None:
            given += 1
            _file_key_ref(errors, source["fileKeyRef"], volumes, f"{where}.fileKeyRef")
        if not given:
            errors.invalid(
                where,
                "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` "
                "or `fileKeyRef`",
            )
        elif variable.get("value"):
            errors.invalid(where, "", "may not be specified when `value` is not empty")
        elif given > 1:
            errors.invalid(where, "", "may not have more than one field specified at a time")


def _file_key_ref(errors: Errors, reference: Obj, volumes: Mapping[str, Obj], where: str) -> None:
    """A variable in a file (KEP-3721); what writes the file shares it by an emptyDir."""
    errors.name(f"{where}.key", reference.get("key"), names.relaxed_env_var_name)
    name: str = reference.get("volumeName") or ""
    if errors.present(f"{where}.volumeName", name):
        if name not in volumes:
            errors.not_found(f"{where}.volumeName", name)
        elif volumes[name].get("emptyDir") is None:
            errors.invalid(f"{where}.volumeName", name, "referenced volume must be of type emptyDir")
    if errors.present(f"{where}.path", reference.get("path")):
        mount_validation.local_descending_path(errors, reference["path"], f"{where}.path")


def _key_ref(errors: Errors, reference: Obj, where: str) -> None:
    if errors.present(f"{where}.name", reference.get("name")):
        errors.check(f"{where}.name", reference["name"], names.dns1123_subdomain(reference["name"]))
    if errors.present(f"{where}.key", reference.get("key")):
        errors.check(f"{where}.key", reference["key"], names.config_key(reference["key"]))


def field_ref(errors: Errors, reference: Obj, allowed: Collection[str], where: str) -> None:
    """A reference to one of the pod's own fields, or to one label or annotation by `['key']`."""
    if not errors.present(f"{where}.apiVersion", reference.get("apiVersion")):
        return
    field = reference.get("fieldPath") or ""
    if not errors.present(f"{where}.fieldPath", field):
        return
    if reference["apiVersion"] != "v1":
        errors.invalid(
            f"{where}.fieldPath",
            field,
            f"error converting fieldPath: unsupported pod version: {reference['apiVersion']}",
        )
        return
    base, bracket, key = field.partition("['")
    if bracket and key.endswith("']"):
        key = key[:-2]
        if base == "metadata.annotations":
            errors.check(where, key, names.qualified_name(key.lower()))
        elif base == "metadata.labels":
            errors.check(where, key, names.qualified_name(key))
        else:
            errors.invalid(where, field, f'"{base}" does not support subscript')
        return
    if field not in _KNOWN_FIELDS and not bracket:
        errors.invalid(f"{where}.fieldPath", field, f"error converting fieldPath: field label not supported: {field}")
    elif field not in allowed:
        errors.unsupported(f"{where}.fieldPath", field, sorted(allowed))


def resource_field_ref(errors: Errors, reference: Obj, allowed: Collection[str], where: str, in_volume: bool) -> None:
    """A reference to one of a container's resources."""
    if in_volume and not reference.get("containerName"):
        errors.required(f"{where}.containerName")
        return
    resource = reference.get("resource") or ""
    if not resource:
        errors.required(f"{where}.resource")
        return
    huge = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    if resource not in allowed and not huge:
        errors.unsupported(f"{where}.resource", resource, sorted(allowed))
    _divisor(errors, resource, str(reference.get("divisor", "0")), where)


def _divisor(errors: Errors, resource: str, divisor: str, where: str) -> None:
    if divisor in ("0", ""):
        return
    what = "cpu" if resource.endswith(".cpu") else "memory"
    if divisor not in _DIVISORS[what]:
        kind = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(
            resource.partition(".")[2], "hugepages"
        )
        choices = "1m and 1" if what == "cpu" else ", ".join(_DIVISORS["memory"])
        errors.invalid(
            f"{where}.divisor", divisor, f"only divisor's values {choices} are supported with the {kind} resource"
        )


def sources(errors: Errors, listed: list[Obj], path: str) -> None:
    """`envFrom`."""
    for index, source in enumerate(listed):
        where = f"{path}[{index}]"
        if source.get("prefix"):
            errors.check(f"{where}.prefix", source["prefix"], names.relaxed_env_var_name(source["prefix"]))
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            name = source[kind].get("name")
            if errors.present(f"{where}.{kind}.name", name):
                errors.check(f"{where}.{kind}.name", name, names.dns1123_subdomain(name))
        if not given:
            errors.invalid(where, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            errors.invalid(where, "", "may not have more than one field specified at a time")

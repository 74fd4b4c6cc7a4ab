"""Validation of volumes in pods, and of the sources that persistent volumes share with them."""

import re
from collections.abc import Callable

from pynetes.apis import checks, metadata
from pynetes.apis.certificates.signer import signer_name
from pynetes.apis.checks import Errors
from pynetes.apis.core import container_validation, environment_validation, mount_validation
from pynetes.machinery import names, quantity
from pynetes.machinery.meta import Obj

HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
MODE_DETAIL = "must be a number between 0 and 0777 (octal), both inclusive"
TOKEN_MIN_SECONDS, TOKEN_MAX_SECONDS = 600, 1 << 32

_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+$"),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}$"),
}

SourceCheck = Callable[[Errors, Obj, str], None]


def volumes(errors: Errors, listed: list[Obj], path: str) -> dict[str, Obj]:
    """All volumes of a pod spec; returns the sources by volume name."""
    found: dict[str, Obj] = {}
    for index, volume in enumerate(listed):
        where = f"{path}[{index}]"
        name = volume.get("name") or ""
        if not name:
            errors.required(f"{where}.name")
        else:
            errors.check(f"{where}.name", name, names.dns1123_label(name))
            if name in found:
                errors.duplicate(f"{where}.name", name)
        source = {kind: value for kind, value in volume.items() if kind != "name" and value is not None}
        _source(errors, source, where)
        if name:
            found.setdefault(name, source)
    return found


def _source(errors: Errors, source: Obj, path: str) -> None:
    if not source:
        errors.required(path, "must specify a volume type")
        return
    first, *others = source
    for extra in others:
        errors.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    check = SOURCES.get(first)
    if check is not None:
        check(errors, source[first], f"{path}.{first}")


def _empty_dir(errors: Errors, source: Obj, path: str) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and checks.is_negative(limit):
        errors.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
    medium = source.get("medium") or ""
    if medium.startswith("HugePages-"):
        try:
            size = quantity.value(medium.removeprefix("HugePages-"))
        except ValueError:
            size = 0
        if size <= 0:
            errors.invalid(f"{path}.medium", medium, "invalid medium")


def host_path(errors: Errors, source: Obj, path: str) -> None:
    """A path of the host."""
    where = source.get("path") or ""
    if not where:
        errors.required(f"{path}.path")
        return
    mount_validation.no_backsteps(errors, where, f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        errors.unsupported(f"{path}.type", kind, HOST_PATH_TYPES)


def _mode(errors: Errors, value: int | None, path: str) -> None:
    if value is not None and not 0 <= value <= 0o777:
        errors.invalid(path, value, MODE_DETAIL)


def _key_to_path(errors: Errors, item: Obj, path: str) -> None:
    errors.present(f"{path}.key", item.get("key"))
    if errors.present(f"{path}.path", item.get("path")):
        local_non_reserved_path(errors, item["path"], f"{path}.path")
    _mode(errors, item.get("mode"), f"{path}.mode")


def local_non_reserved_path(errors: Errors, value: str, path: str) -> None:
    """A relative path that neither steps up nor begins with `..` (kept for the kubelet's own files)."""
    mount_validation.local_descending_path(errors, value, path)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def _items(errors: Errors, items: list[Obj] | None, path: str) -> None:
    for index, item in enumerate(items or []):
        _key_to_path(errors, item, f"{path}.items[{index}]")


def _secret(errors: Errors, source: Obj, path: str) -> None:
    errors.present(f"{path}.secretName", source.get("secretName"))
    _mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    _items(errors, source.get("items"), path)


def _config_map(errors: Errors, source: Obj, path: str) -> None:
    errors.present(f"{path}.name", source.get("name"))
    _mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    _items(errors, source.get("items"), path)


def _downward_file(errors: Errors, item: Obj, path: str) -> None:
    if errors.present(f"{path}.path", item.get("path")):
        local_non_reserved_path(errors, item["path"], f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        environment_validation.field_ref(errors, field, environment_validation.VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            errors.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        allowed = environment_validation.VOLUME_RESOURCES
        environment_validation.resource_field_ref(errors, resource, allowed, f"{path}.resourceFieldRef", True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    _mode(errors, item.get("mode"), f"{path}.mode")


def _downward_api(errors: Errors, source: Obj, path: str) -> None:
    _mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or []:
        # Upstream's path ends at the source here, not at the item.
        _downward_file(errors, item, path)


def _projected(errors: Errors, source: Obj, path: str) -> None:
    _mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, each in enumerate(source.get("sources") or []):
        where = f"{path}.sources[{index}]"
        given = [kind for kind in PROJECTIONS if each.get(kind) is not None]
        for kind in given:
            _projection(errors, kind, each[kind], where, path)
            for target in _targets(kind, each[kind]):
                if target in taken:
                    named = each[kind].get("name", "") if kind in ("secret", "configMap") else target
                    errors.invalid(path, named, "conflicting duplicate paths")
                taken.add(target)
        if len(given) > 1:
            errors.forbidden(where, "may not specify more than 1 volume type")


PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def _projection(errors: Errors, kind: str, source: Obj, where: str, volume: str) -> None:
    path = f"{where}.{kind}"
    if kind in ("secret", "configMap"):
        errors.present(f"{path}.name", source.get("name"))
        _items(errors, source.get("items"), path)
    elif kind == "downwardAPI":
        _downward_api(errors, source, path)
    elif kind == "serviceAccountToken":
        seconds = source.get("expirationSeconds", 0)
        if seconds < TOKEN_MIN_SECONDS:
            errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds > TOKEN_MAX_SECONDS:
            errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        # Upstream places the token's path in the volume, not in the source.
        if errors.present(f"{volume}.path", source.get("path")):
            local_non_reserved_path(errors, source["path"], f"{volume}.path")
    elif kind == "clusterTrustBundle":
        _trust_bundle(errors, source, f"{where}.clusterTrustBundlePEM")
    else:
        errors.present(f"{path}.signerName", source.get("signerName"))
        errors.present(f"{path}.keyType", source.get("keyType"))


def _trust_bundle(errors: Errors, source: Obj, path: str) -> None:
    """Trust anchors by the bundle's name, or by signer and labels; upstream's paths have the name of an older field."""
    name, signer, selector = (source.get(field) for field in ("name", "signerName", "labelSelector"))
    if name is not None and signer is not None:
        errors.invalid(path, source, "only one of name and signerName may be used")
    elif name is not None:
        errors.present(f"{path}.name", name, "must be a valid object name")
        if selector is not None:
            errors.invalid(f"{path}.labelSelector", selector, "labelSelector must be unset if name is specified")
    elif signer is not None:
        errors.present(f"{path}.signerName", signer, "must be a valid signer name")
        signer_name(errors, signer, f"{path}.signerName")
        checks.label_selector(errors, selector, f"{path}.labelSelector")
    else:
        errors.required(path, "either name or signerName must be specified")
    if errors.present(f"{path}.path", source.get("path")):
        local_non_reserved_path(errors, source["path"], f"{path}.path")


def _targets(kind: str, source: Obj) -> list[str]:
    listed = [item.get("path", "") for item in source.get("items") or []]
    if kind == "clusterTrustBundle":
        listed.append(source.get("path", ""))
    return [target for target in listed if target]


def _claim(errors: Errors, source: Obj, path: str) -> None:
    errors.present(f"{path}.claimName", source.get("claimName"))


def nfs(errors: Errors, source: Obj, path: str) -> None:
    """An NFS export."""
    errors.present(f"{path}.server", source.get("server"))
    if errors.present(f"{path}.path", source.get("path")) and not source["path"].startswith("/"):
        errors.invalid(f"{path}.path", source["path"], "must be an absolute path")


def iscsi(errors: Errors, source: Obj, path: str) -> None:
    """An iSCSI LUN."""
    errors.present(f"{path}.targetPortal", source.get("targetPortal"))
    name = source.get("iqn") or ""
    if errors.present(f"{path}.iqn", name):
        if not name.startswith(("iqn", "eui", "naa")):
            errors.invalid(f"{path}.iqn", name, "must be valid format starting with iqn, eui, or naa")
        elif not _ISCSI_NAMES[name[:3]].match(name):
            errors.invalid(f"{path}.iqn", name, "must be valid format")
    if not 0 <= source.get("lun", 0) <= 255:
        errors.invalid(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.required(f"{path}.secretRef")


def _ephemeral(errors: Errors, source: Obj, path: str) -> None:
    from pynetes.apis.core.persistent_volume_claim import validate_claim_spec

    template = source.get("volumeClaimTemplate")
    if template is None:
        errors.required(f"{path}.volumeClaimTemplate")
        return
    where = f"{path}.volumeClaimTemplate"
    checks.labels(errors, (template.get("metadata") or {}).get("labels"), f"{where}.metadata.labels")
    metadata.annotations(errors, (template.get("metadata") or {}).get("annotations"), f"{where}.metadata.annotations")
    validate_claim_spec(errors, template.get("spec") or {}, f"{where}.spec")


def csi(errors: Errors, source: Obj, path: str) -> None:
    """An inline CSI volume."""
    errors.present(f"{path}.driver", source.get("driver"))
    reference = source.get("nodePublishSecretRef")
    if reference is not None:
        errors.present(f"{path}.nodePublishSecretRef.name", reference.get("name"))


def _image(errors: Errors, source: Obj, path: str) -> None:
    errors.present(f"{path}.reference", source.get("reference"))
    policy = source.get("pullPolicy")
    if policy and policy not in container_validation.PULL_POLICIES:
        errors.unsupported(f"{path}.pullPolicy", policy, container_validation.PULL_POLICIES)


def needs(*fields: str) -> SourceCheck:
    """A source of which only the presence of some fields is checked."""

    def check(errors: Errors, source: Obj, path: str) -> None:
        for field in fields:
            errors.present(f"{path}.{field}", source.get(field))

    return check


SOURCES: dict[str, SourceCheck] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path,
    "gitRepo": needs("repository"),
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward_api,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "nfs": nfs,
    "iscsi": iscsi,
    "ephemeral": _ephemeral,
    "csi": csi,
    "image": _image,
    "gcePersistentDisk": needs("pdName"),
    "awsElasticBlockStore": needs("volumeID"),
    "rbd": needs("monitors", "image"),
    "cinder": needs("volumeID"),
    "cephfs": needs("monitors"),
    "glusterfs": needs("endpoints", "path"),
    "flexVolume": needs("driver"),
    "azureFile": needs("secretName", "shareName"),
    "azureDisk": needs("diskURI"),
    "vsphereVolume": needs("volumePath"),
    "quobyte": needs("registry", "volume"),
    "portworxVolume": needs("volumeID"),
    "scaleIO": needs("gateway", "system", "volumeName"),
    "flocker": needs(),
    "photonPersistentDisk": needs("pdID"),
    "storageos": needs("volumeName"),
    "fc": needs(),
}

"""The environment of a container, composed as upstream composes it.

Service variables first, then `envFrom` in order, then `env` in order, each able to refer to what came before by
`$(NAME)`. What is missing raises ConfigError, whose text becomes the waiting message of the container.
"""

import base64
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pynetes.kubelet import env_file, fields
from pynetes.kubelet.expansion import expand
from pynetes.kubelet.sources import MissingObject
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

MASTER_SERVICES = {("default", "kubernetes")}
_RELAXED_NAME = re.compile(r"^[\x20-\x3c\x3e-\x7e]+$")  # any printable ASCII but "=" (KEP-4369)

GetObject = Callable[[str, str, str], Awaitable[Obj]]  # plural, namespace, name


class ConfigError(Exception):
    """The container cannot be configured: CreateContainerConfigError."""


@dataclass(slots=True)
class PodFacts:
    """What the environment may show of the pod beyond its object."""

    pod: Obj
    pod_ips: list[str]
    host_ips: list[str]
    allocatable: dict[str, str]
    services: Iterable[Obj]
    get: GetObject
    volume_path: Callable[[str], Path | None] = lambda name: None  # where the pod's volume of this name is


@dataclass(slots=True)
class Environment:
    """The variables in order, and the `envFrom` keys that had to be skipped by source."""

    variables: dict[str, str] = field(default_factory=dict)
    skipped: list[tuple[str, list[str]]] = field(default_factory=list)


async def make_environment(container: Obj, facts: PodFacts) -> Environment:
    """Compose the container's variables; raises ConfigError."""
    result = Environment()
    namespace = meta.namespace(facts.pod)
    for source in container.get("envFrom") or []:
        await _add_all(source, namespace, facts, result)
    links = facts.pod["spec"].get("enableServiceLinks", True)
    services = service_variables(namespace, facts.services, links is not False)
    for entry in container.get("env") or []:
        value = await _value(entry, container, facts, result.variables, services)
        if value is not None:
            result.variables[entry["name"]] = value
    result.variables = {**result.variables, **{k: v for k, v in services.items() if k not in result.variables}}
    return result


async def _add_all(source: Obj, namespace: str, facts: PodFacts, result: Environment) -> None:
    for kind, plural, reference in (
        ("configMap", "configmaps", source.get("configMapRef")),
        ("secret", "secrets", source.get("secretRef")),
    ):
        if not reference:
            continue
        obj = await _fetch(facts.get, plural, namespace, reference["name"], bool(reference.get("optional")))
        if obj is None:
            continue
        prefix = source.get("prefix", "")
        invalid = []
        for key, value in sorted((obj.get("data") or {}).items()):
            name = prefix + key
            if not _RELAXED_NAME.match(name):
                invalid.append(name)
                continue
            result.variables[name] = value if plural == "configmaps" else _decode(value)
        if invalid:
            where = f"{kind} {namespace}/{reference['name']}"
            result.skipped.append((where, sorted(invalid)))


async def _value(
    entry: Obj, container: Obj, facts: PodFacts, variables: Mapping[str, str], services: Mapping[str, str]
) -> str | None:
    """The value of one `env` entry; None leaves the variable unset."""
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", {**services, **variables})
    namespace = meta.namespace(facts.pod)
    if reference := source.get("fieldRef"):
        return _field(facts, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        owner = _container_of(facts.pod, reference.get("containerName"), container)
        return fields.resource_value(facts.pod, owner, reference, facts.allocatable)
    if reference := source.get("configMapKeyRef"):
        return await _key(facts.get, "configmaps", "ConfigMap", namespace, reference)
    if reference := source.get("secretKeyRef"):
        return await _key(facts.get, "secrets", "Secret", namespace, reference)
    if reference := source.get("fileKeyRef"):
        return _from_file(facts.volume_path, reference)
    return ""


def _from_file(volume_path: Callable[[str], Path | None], reference: Obj) -> str | None:
    volume, path, key = reference["volumeName"], reference["path"], reference["key"]
    root = volume_path(volume)
    if root is None:
        raise ConfigError(f'cannot find the volume "{volume}" referenced by FileKeyRef')
    try:
        value = env_file.read(root, path, key)
    except env_file.EnvFileError as error:
        log.warning("volume %s, %s: %s", volume, path, error)
        raise ConfigError("couldn't parse env file") from None
    if value:
        return value
    if reference.get("optional"):
        return None
    raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')


def _field(facts: PodFacts, path: str) -> str:
    runtime: dict[str, Any] = {
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
    }
    if path in runtime:
        return runtime[path]
    try:
        return fields.field_value(facts.pod, path)
    except fields.FieldError as error:
        raise ConfigError(str(error)) from None


async def _key(get: GetObject, plural: str, kind: str, namespace: str, reference: Obj) -> str | None:
    optional = bool(reference.get("optional"))
    obj = await _fetch(get, plural, namespace, reference["name"], optional)
    if obj is None:
        return None
    data = obj.get("data") or {}
    key = reference["key"]
    if key in data:
        return data[key] if plural == "configmaps" else _decode(data[key])
    if optional:
        return None
    raise ConfigError(f"couldn't find key {key} in {kind} {namespace}/{reference['name']}")


async def _fetch(get: GetObject, plural: str, namespace: str, name: str, optional: bool) -> Obj | None:
    try:
        return await get(plural, namespace, name)
    except MissingObject as error:
        if optional and error.absent:
            return None
        raise ConfigError(str(error)) from None


def _container_of(pod: Obj, name: str | None, default: Obj) -> Obj:
    if not name:
        return default
    every = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    found = next((container for container in every if container["name"] == name), None)
    if found is None:
        raise ConfigError(f"container {name} not found")
    return found


def _decode(value: str) -> str:
    return base64.b64decode(value).decode(errors="surrogateescape")


def service_variables(namespace: str, services: Iterable[Obj], links: bool) -> dict[str, str]:
    """Docker-link style variables of the services in `namespace`, and always of the API server's own."""
    chosen: dict[str, Obj] = {}
    for service in services:
        address = service["spec"].get("clusterIP")
        if not address or address == "None" or service["spec"].get("type") == "ExternalName":
            continue
        space, name = meta.namespace(service), meta.name(service)
        if links and space == namespace:
            chosen[name] = service
        elif (space, name) in MASTER_SERVICES:
            chosen.setdefault(name, service)
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables |= _variables_of(chosen[name])
    return variables


def _variables_of(service: Obj) -> dict[str, str]:
    prefix = meta.name(service).upper().replace("-", "_")
    address = service["spec"]["clusterIP"]
    host = f"[{address}]" if ":" in address else address
    ports = service["spec"].get("ports") or []
    variables = {f"{prefix}_SERVICE_HOST": address}
    if ports:
        variables[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        variables[link] = url
        variables[f"{link}_PROTO"] = protocol.lower()
        variables[f"{link}_PORT"] = str(port["port"])
        variables[f"{link}_ADDR"] = address
    return variables

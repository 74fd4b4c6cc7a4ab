"""Validation of containers: what stands in `containers`, `initContainers` and `ephemeralContainers` alike."""

from collections.abc import Collection, Mapping
from typing import Any

from pynetes.apis.checks import Errors
from pynetes.apis.core import resource_validation
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

PROTOCOLS = ("SCTP", "TCP", "UDP")
CONTAINER_RESTARTS = ("Always", "Never", "OnFailure")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TERMINATION_POLICIES = ("FallbackToLogsOnError", "File")
SCHEMES = ("HTTP", "HTTPS")
MOUNT_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
RESIZE_RESOURCES = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")
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
_EPHEMERAL_ALLOWED = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "envFrom",
        "volumeMounts",
        "volumeDevices",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "targetContainerName",
        "resources",
    }
)


def containers(errors: Errors, spec: Obj, volumes: Mapping[str, Obj], path: str) -> None:
    """The app containers of a pod spec."""
    listed = spec.get("containers") or []
    if not listed:
        errors.required(f"{path}.containers")
        return
    seen: set[str] = set()
    for index, container in enumerate(listed):
        where = f"{path}.containers[{index}]"
        _container(errors, container, spec, volumes, where)
        _unique_name(errors, container, seen, where)
        restart = container.get("restartPolicy")
        if restart is not None and restart not in CONTAINER_RESTARTS:
            errors.unsupported(f"{where}.restartPolicy", restart, CONTAINER_RESTARTS)
        _lifecycle(errors, container.get("lifecycle") or {}, spec, where)
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(kind) is not None:
                probe(errors, container[kind], spec, f"{where}.{kind}")
                if kind != "readinessProbe" and container[kind].get("successThreshold", 1) != 1:
                    errors.invalid(f"{where}.{kind}.successThreshold", container[kind]["successThreshold"], "must be 1")
        readiness = container.get("readinessProbe") or {}
        if readiness.get("terminationGracePeriodSeconds") is not None:
            value = readiness["terminationGracePeriodSeconds"]
            errors.invalid(
                f"{where}.readinessProbe.terminationGracePeriodSeconds", value, "must not be set for readinessProbes"
            )
    _host_port_conflicts(errors, listed, f"{path}.containers")


def init_containers(errors: Errors, spec: Obj, volumes: Mapping[str, Obj], path: str) -> None:
    """The init containers; those with `restartPolicy: Always` (sidecars) may have probes and hooks."""
    seen = {container.get("name", "") for container in spec.get("containers") or []}
    for index, container in enumerate(spec.get("initContainers") or []):
        where = f"{path}.initContainers[{index}]"
        _container(errors, container, spec, volumes, where)
        _unique_name(errors, container, seen, where)
        restart = container.get("restartPolicy")
        sidecar = restart == "Always"
        if restart is not None and restart not in CONTAINER_RESTARTS:
            errors.unsupported(f"{where}.restartPolicy", restart, CONTAINER_RESTARTS)
        if sidecar:
            _lifecycle(errors, container.get("lifecycle") or {}, spec, where)
        elif container.get("lifecycle") is not None:
            errors.forbidden(f"{where}.lifecycle", "may not be set for init containers without restartPolicy=Always")
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(kind) is None:
                continue
            if not sidecar:
                errors.forbidden(f"{where}.{kind}", "may not be set for init containers without restartPolicy=Always")
                continue
            probe(errors, container[kind], spec, f"{where}.{kind}")
            if kind != "readinessProbe" and container[kind].get("successThreshold", 1) != 1:
                errors.invalid(f"{where}.{kind}.successThreshold", container[kind]["successThreshold"], "must be 1")
        if len(container.get("ports") or []):
            _host_port_conflicts(errors, [container], f"{path}.initContainers")


def ephemeral_containers(errors: Errors, spec: Obj, volumes: Mapping[str, Obj], path: str) -> None:
    """Containers for debugging: no ports, no probes, no resources, and no name twice in the pod."""
    app_names = {c.get("name", "") for kind in ("containers", "initContainers") for c in spec.get(kind) or []}
    targets = {c.get("name", "") for c in spec.get("containers") or []} | {
        c.get("name", "") for c in spec.get("initContainers") or []
    }
    seen: set[str] = set()
    for index, container in enumerate(spec.get("ephemeralContainers") or []):
        where = f"{path}.ephemeralContainers[{index}]"
        _container(errors, container, spec, volumes, where)
        name = container.get("name", "")
        if name in app_names or name in seen:
            errors.duplicate(f"{where}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.not_found(f"{where}.targetContainerName", target)
        for field, value in container.items():
            if field not in _EPHEMERAL_ALLOWED and value:
                errors.forbidden(f"{where}.{field}", "cannot be set for an Ephemeral Container")
        if container.get("resources"):
            errors.forbidden(f"{where}.resources", "cannot be set for an Ephemeral Container")
        for position, mount in enumerate(container.get("volumeMounts") or []):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    errors.forbidden(
                        f"{where}.volumeMounts[{position}].{field}", "cannot be set for an Ephemeral Container"
                    )


def _unique_name(errors: Errors, container: Obj, seen: set[str], where: str) -> None:
    name = container.get("name", "")
    if name and name in seen:
        errors.duplicate(f"{where}.name", name)
    seen.add(name)


def _container(errors: Errors, container: Obj, spec: Obj, volumes: Mapping[str, Obj], where: str) -> None:
    errors.name(f"{where}.name", container.get("name"), names.dns1123_label)
    image = container.get("image") or ""
    if not image:
        errors.required(f"{where}.image")
    elif image.strip() != image:
        errors.invalid(f"{where}.image", image, "must not have leading or trailing whitespace")
    policy = container.get("terminationMessagePolicy")
    errors.required_one_of(f"{where}.terminationMessagePolicy", policy, TERMINATION_POLICIES)
    _ports(errors, container.get("ports") or [], f"{where}.ports")
    _env(errors, container.get("env") or [], spec, f"{where}.env")
    _env_from(errors, container.get("envFrom") or [], f"{where}.envFrom")
    _mounts(errors, container.get("volumeMounts") or [], volumes, container, f"{where}.volumeMounts")
    _devices(errors, container, volumes, f"{where}.volumeDevices")
    errors.required_one_of(f"{where}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    claims = {each.get("name", "") for each in spec.get("resourceClaims") or []}
    resource_validation.requirements(errors, container.get("resources") or {}, f"{where}.resources", claims)
    _resize_policy(errors, container.get("resizePolicy") or [], spec, f"{where}.resizePolicy")
    _security_context(errors, container.get("securityContext"), spec, f"{where}.securityContext")


def _ports(errors: Errors, ports: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        name = port.get("name")
        if name:
            messages = names.port_name(name)
            errors.check(f"{where}.name", name, messages)
            if not messages and name in seen:
                errors.duplicate(f"{where}.name", name)
            seen.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            errors.required(f"{where}.containerPort")
        else:
            errors.port(f"{where}.containerPort", number)
        if port.get("hostPort"):
            errors.port(f"{where}.hostPort", port["hostPort"])
        errors.required_one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
        if port.get("hostIP"):
            errors.check(f"{where}.hostIP", port["hostIP"], names.ip(port["hostIP"]))


def _host_port_conflicts(errors: Errors, listed: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, container in enumerate(listed):
        for position, port in enumerate(container.get("ports") or []):
            number = port.get("hostPort")
            if not number:
                continue
            text = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{number}"
            if text in seen:
                errors.duplicate(f"{path}[{index}].ports[{position}].hostPort", text)
            seen.add(text)


def _env(errors: Errors, variables: list[Obj], spec: Obj, path: str) -> None:
    for index, variable in enumerate(variables):
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
            reference = source["fileKeyRef"]
            errors.name(f"{where}.fileKeyRef.key", reference.get("key"), names.relaxed_env_var_name)
            errors.present(f"{where}.fileKeyRef.volumeName", reference.get("volumeName"))
            errors.present(f"{where}.fileKeyRef.path", reference.get("path"))
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


_DIVISORS = {
    "cpu": ("1m", "1"),
    "memory": ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
}


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


def _env_from(errors: Errors, sources: list[Obj], path: str) -> None:
    for index, source in enumerate(sources):
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


def _mounts(errors: Errors, mounts: list[Obj], volumes: Mapping[str, Obj], container: Obj, path: str) -> None:
    seen: set[str] = set()
    device_paths = {device.get("devicePath") for device in container.get("volumeDevices") or []}
    device_names = {device.get("name") for device in container.get("volumeDevices") or []}
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name, mount_path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.required(f"{where}.name")
        elif name not in volumes:
            errors.not_found(f"{where}.name", name)
        if not mount_path:
            errors.required(f"{where}.mountPath")
        if mount_path in seen:
            errors.invalid(f"{where}.mountPath", mount_path, "must be unique")
        seen.add(mount_path)
        if name in device_names:
            errors.invalid(f"{where}.name", name, "must not already exist in volumeDevices")
        if mount_path in device_paths:
            errors.invalid(f"{where}.mountPath", mount_path, "must not already exist as a path in volumeDevices")
        sub_path, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
        if sub_path:
            local_descending_path(errors, sub_path, f"{where}.subPath")
        if expression:
            if sub_path:
                errors.invalid(f"{where}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
            local_descending_path(errors, expression, f"{where}.subPathExpr")
        _propagation(errors, mount, container, f"{where}.mountPropagation")
        _recursive_read_only(errors, mount, f"{where}.recursiveReadOnly")


def _propagation(errors: Errors, mount: Obj, container: Obj, path: str) -> None:
    propagation = mount.get("mountPropagation")
    if propagation is None:
        return
    if propagation not in MOUNT_PROPAGATIONS:
        errors.unsupported(path, propagation, MOUNT_PROPAGATIONS)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def _recursive_read_only(errors: Errors, mount: Obj, path: str) -> None:
    mode = mount.get("recursiveReadOnly")
    if mode is None or mode == "Disabled":
        return
    if mode not in ("Enabled", "IfPossible"):
        errors.unsupported(path, mode, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        errors.forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        errors.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def local_descending_path(errors: Errors, value: str, path: str) -> None:
    """A relative path without `..`."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_backsteps(errors, value, path)


def no_backsteps(errors: Errors, value: str, path: str) -> None:
    """A path that never steps up."""
    if ".." in value.replace("\\", "/").split("/"):
        errors.invalid(path, value, "must not contain '..'")


def _devices(errors: Errors, container: Obj, volumes: Mapping[str, Obj], path: str) -> None:
    seen: set[str] = set()
    seen_names: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or []):
        where = f"{path}[{index}]"
        name, device_path = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.required(f"{where}.name")
        if name in seen_names:
            errors.invalid(f"{where}.name", name, "must be unique")
        if name not in volumes:
            errors.not_found(f"{where}.name", name)
        elif not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys():
            errors.invalid(
                f"{where}.name",
                name,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            )
        if not device_path:
            errors.required(f"{where}.devicePath")
        if device_path and device_path in seen:
            errors.invalid(f"{where}.devicePath", device_path, "must be unique")
        if device_path:
            no_backsteps(errors, device_path, f"{where}.devicePath")
        seen.add(device_path)
        seen_names.add(name)


def probe(errors: Errors, value: Obj, spec: Obj, path: str) -> None:
    """A probe: one handler, no negative numbers."""
    _handler(errors, value, PROBE_HANDLERS, spec, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors.non_negative(f"{path}.{field}", value.get(field))
    grace = value.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _lifecycle(errors: Errors, lifecycle: Obj, spec: Obj, where: str) -> None:
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            _handler(errors, lifecycle[hook], LIFECYCLE_HANDLERS, spec, f"{where}.lifecycle.{hook}")


def _handler(errors: Errors, handler: Obj, kinds: tuple[str, ...], spec: Obj, path: str) -> None:
    found = [kind for kind in kinds if handler.get(kind) is not None]
    for extra in found[1:]:
        errors.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if not found:
        errors.required(path, "must specify a handler type")
        return
    kind = found[0]
    action, where = handler[kind], f"{path}.{kind}"
    if kind == "exec":
        errors.present(f"{where}.command", action.get("command"))
    elif kind == "httpGet":
        errors.present(f"{where}.path", action.get("path"))
        port_or_name(errors, action.get("port"), f"{where}.port")
        errors.one_of(f"{where}.scheme", action.get("scheme"), SCHEMES)
        for position, header in enumerate(action.get("httpHeaders") or []):
            name = header.get("name", "")
            errors.check(f"{where}.httpHeaders[{position}].name", name, names.http_header_name(name))
    elif kind == "tcpSocket":
        port_or_name(errors, action.get("port"), f"{where}.port")
    elif kind == "grpc":
        errors.port(f"{where}.port", action.get("port", 0))
    else:
        seconds, limit = action.get("seconds", 0), spec.get("terminationGracePeriodSeconds") or 0
        if not 0 <= seconds <= limit:
            errors.invalid(
                f"{where}.seconds",
                seconds,
                f"must be non-negative and less than terminationGracePeriodSeconds ({limit})",
            )


def port_or_name(errors: Errors, value: Any, path: str) -> None:
    """A port by number or by name."""
    if isinstance(value, str):
        errors.check(path, value, names.port_name(value))
    else:
        errors.port(path, value or 0)


def _resize_policy(errors: Errors, policies: list[Obj], spec: Obj, path: str) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        where = f"{path}[{index}]"
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors.duplicate(where, resource)
        seen.add(resource)
        if errors.present(f"{where}.resourceName", resource):
            errors.one_of(f"{where}.resourceName", resource, RESIZE_RESOURCES)
        if errors.present(f"{where}.restartPolicy", restart):
            errors.one_of(f"{where}.restartPolicy", restart, RESIZE_POLICIES)
        if spec.get("restartPolicy") == "Never" and restart not in ("", "NotRequired"):
            errors.invalid(f"{where}.restartPolicy", restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _security_context(errors: Errors, context: Obj | None, spec: Obj, path: str) -> None:
    if context is None:
        return
    for field in ("runAsUser", "runAsGroup"):
        if context.get(field) is not None:
            errors.check(f"{path}.{field}", context[field], names.user_id(context[field]))
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        if proc_mount not in ("Default", "Unmasked"):
            errors.unsupported(f"{path}.procMount", proc_mount, ("Default", "Unmasked"))
        if proc_mount == "Unmasked" and spec.get("hostUsers", True):
            errors.invalid(f"{path}.procMount", proc_mount, "`hostUsers` must be false to use `Unmasked`")
    seccomp_profile(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    app_armor_profile(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            errors.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
            errors.invalid(
                path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            )
    windows_options(errors, context.get("windowsOptions"), f"{path}.windowsOptions")


def seccomp_profile(errors: Errors, profile: Obj | None, path: str) -> None:
    """A seccomp profile; only Localhost ones name a file."""
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost":
        if local is None:
            errors.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            local_descending_path(errors, local, f"{path}.localhostProfile")
    elif local is not None:
        errors.invalid(f"{path}.localhostProfile", local, "can only be set when seccomp type is Localhost")
    if not kind:
        errors.required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in ("Localhost", "RuntimeDefault", "Unconfined"):
        errors.unsupported(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))


def app_armor_profile(errors: Errors, profile: Obj | None, path: str) -> None:
    """An AppArmor profile; only Localhost ones name a profile."""
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost":
        where = f"{path}.localhostProfile"
        if local is None:
            errors.required(where, "must be set when AppArmor type is Localhost")
        elif local.strip() != local:
            errors.invalid(where, local, "must not be padded with whitespace")
        elif not local:
            errors.required(where, "must be set when AppArmor type is Localhost")
        elif len(local) > 4095:
            errors.too_long(where, 4095)
    elif local is not None:
        errors.invalid(f"{path}.localhostProfile", local, "can only be set when AppArmor type is Localhost")
    if not kind:
        errors.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in ("Localhost", "RuntimeDefault", "Unconfined"):
        errors.unsupported(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))


def windows_options(errors: Errors, options: Obj | None, path: str) -> None:
    """Windows' security options."""
    for field in ("gmsaCredentialSpecName",):
        name = (options or {}).get(field)
        if name is not None:
            errors.check(f"{path}.{field}", name, names.dns1123_subdomain(name))
    user = (options or {}).get("runAsUserName")
    if user == "":
        errors.invalid(f"{path}.runAsUserName", user, "runAsUserName cannot be an empty string")

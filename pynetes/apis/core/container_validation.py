"""Validation of containers: what stands in `containers`, `initContainers` and `ephemeralContainers` alike."""

from collections.abc import Mapping

from pynetes.apis.checks import Errors
from pynetes.apis.core import (
    environment_validation,
    mount_validation,
    probe_validation,
    resource_validation,
    security_validation,
)
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

PROTOCOLS = ("SCTP", "TCP", "UDP")
CONTAINER_RESTARTS = ("Always", "Never", "OnFailure")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TERMINATION_POLICIES = ("FallbackToLogsOnError", "File")
RESTART_ACTIONS = ("Restart", "RestartAllContainers")
RESTART_OPERATORS = ("In", "NotIn")
MAX_RESTART_RULES = 20
MAX_EXIT_CODES = 255
RESIZE_RESOURCES = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")
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
        _restarts(errors, container, where)
        probe_validation.lifecycle(errors, container.get("lifecycle") or {}, spec, where)
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(kind) is not None:
                probe_validation.probe(errors, container[kind], spec, f"{where}.{kind}")
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
        sidecar = container.get("restartPolicy") == "Always"
        _restarts(errors, container, where)
        if sidecar:
            probe_validation.lifecycle(errors, container.get("lifecycle") or {}, spec, where)
        elif container.get("lifecycle") is not None:
            errors.forbidden(f"{where}.lifecycle", "may not be set for init containers without restartPolicy=Always")
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(kind) is None:
                continue
            if not sidecar:
                errors.forbidden(f"{where}.{kind}", "may not be set for init containers without restartPolicy=Always")
                continue
            probe_validation.probe(errors, container[kind], spec, f"{where}.{kind}")
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


def _restarts(errors: Errors, container: Obj, where: str) -> None:
    """A container's own restart policy and the rules that go before it (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is not None:
        errors.one_of(f"{where}.restartPolicy", policy, CONTAINER_RESTARTS)
    elif rules:
        errors.required(f"{where}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > MAX_RESTART_RULES:
        errors.too_many(f"{where}.restartPolicyRules", len(rules), MAX_RESTART_RULES)
    for index, rule in enumerate(rules):
        path = f"{where}.restartPolicyRules[{index}]"
        errors.one_of(f"{path}.action", rule.get("action") or "", RESTART_ACTIONS)
        codes = rule.get("exitCodes")
        if codes is None:
            errors.required(f"{path}.exitCodes", "must be specified")
            continue
        errors.one_of(f"{path}.exitCodes.operator", codes.get("operator") or "", RESTART_OPERATORS)
        values = codes.get("values") or []
        if len(values) > MAX_EXIT_CODES:
            errors.too_many(f"{path}.exitCodes.values", len(values), MAX_EXIT_CODES)


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
    environment_validation.variables(errors, container.get("env") or [], volumes, f"{where}.env")
    environment_validation.sources(errors, container.get("envFrom") or [], f"{where}.envFrom")
    mount_validation.mounts(errors, container.get("volumeMounts") or [], volumes, container, f"{where}.volumeMounts")
    mount_validation.devices(errors, container, volumes, f"{where}.volumeDevices")
    errors.required_one_of(f"{where}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    claims = {each.get("name", "") for each in spec.get("resourceClaims") or []}
    resource_validation.requirements(errors, container.get("resources") or {}, f"{where}.resources", claims)
    _resize_policy(errors, container.get("resizePolicy") or [], spec, f"{where}.resizePolicy")
    security_validation.container_context(errors, container.get("securityContext"), spec, f"{where}.securityContext")


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

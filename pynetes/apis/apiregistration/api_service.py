"""API services: who serves a group version, this server itself or one behind a service."""

import base64
from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta, names
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

STATUSES = ("True", "False", "Unknown")
GROUP_PRIORITY_LIMIT = 20000
VERSION_PRIORITY_LIMIT = 1000


class APIServiceStrategy(Strategy):
    """An API service."""

    name_check = staticmethod(names.path_segment)
    allow_unconditional_update = False
    any_finalizer = True
    status_keeps = ("labels", "annotations", "finalizers", "ownerReferences")
    columns = (
        printing.NAME,
        column("Service", description="Who serves the group version."),
        column("Available", description="Whether it can be asked."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        service = printing.spec(obj).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_create_spec(self, obj: Obj) -> None:
        # What this server serves itself is available as soon as it is known.
        obj["status"] = {}
        if printing.spec(obj).get("service") is None:
            condition = {
                "type": "Available",
                "status": "True",
                "lastTransitionTime": clock.timestamp(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            }
            obj["status"] = {"conditions": [condition]}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec, name = printing.spec(obj), meta.name(obj)
        group, version = spec.get("group") or "", spec.get("version") or ""
        wanted = f"{version}.{group}"
        if name and not names.path_segment(name) and name != wanted:
            errors.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: {quote(wanted)}')
        if group:
            errors.check("spec.group", group, names.dns1123_subdomain(group))
        elif version != "v1":
            errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
        errors.check("spec.version", version, names.dns1035_label(version))
        _priority(errors, spec.get("groupPriorityMinimum", 0), "spec.groupPriorityMinimum", GROUP_PRIORITY_LIMIT)
        _priority(errors, spec.get("versionPriority", 0), "spec.versionPriority", VERSION_PRIORITY_LIMIT)
        _trust(errors, spec)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        for index, condition in enumerate(printing.status(new).get("conditions") or []):
            errors.one_of(f"status.conditions[{index}].status", condition.get("status", ""), STATUSES)

    def row(self, obj: Obj) -> list[Any]:
        service = printing.spec(obj).get("service")
        where = "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"
        return [meta.name(obj), where, _available(obj), printing.age(obj)]


def _priority(errors: Errors, value: int, path: str, limit: int) -> None:
    if not 0 < value <= limit:
        errors.invalid(path, value, f"must be positive and less than {limit}")


def _trust(errors: Errors, spec: Obj) -> None:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            size = f"{len(base64.b64decode(bundle))} bytes"
            errors.invalid("spec.caBundle", size, "local APIServices may not have a caBundle")
        if insecure:
            errors.invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
        return
    errors.present("spec.service.namespace", service.get("namespace"))
    errors.present("spec.service.name", service.get("name"))
    port = service.get("port", 0)
    faults = names.port_number(port)
    if faults:
        errors.invalid("spec.service.port", port, f"port is not valid: {','.join(faults)}")
    if insecure and bundle:
        errors.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _available(obj: Obj) -> str:
    condition = meta.get_condition(obj, "Available")
    if condition is None:
        return "Unknown"
    status, reason = condition.get("status", ""), condition.get("reason")
    return status if status == "True" or not reason else f"{status} ({reason})"

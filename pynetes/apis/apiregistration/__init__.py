"""The apiregistration group: API groups that other servers serve."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj


class APIServiceStrategy(Strategy):
    """An API group's version and the server behind it."""

    name_check = staticmethod(names.path_segment)
    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("Service", description="The service that serves it; Local for this server."),
        column("Available", description="Whether it answers."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        service = (obj.setdefault("spec", {})).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        group, version = spec.get("group") or "", spec.get("version") or ""
        wanted = f"{version}.{group}"
        if meta.name(obj) != wanted:
            errors.invalid("metadata.name", meta.name(obj), f'must be `spec.version+"."+spec.group`: "{wanted}"')
        if not group:
            if version != "v1":
                errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
        else:
            errors.check("spec.group", group, names.dns1123_subdomain(group))
        errors.check("spec.version", version, names.dns1035_label(version))
        if not 0 < (spec.get("groupPriorityMinimum") or 0) <= 20000:
            errors.invalid(
                "spec.groupPriorityMinimum",
                spec.get("groupPriorityMinimum") or 0,
                "must be positive and less than 20000",
            )
        if not 0 < (spec.get("versionPriority") or 0) <= 1000:
            errors.invalid(
                "spec.versionPriority", spec.get("versionPriority") or 0, "must be positive and less than 1000"
            )
        service = spec.get("service")
        if service is None:
            if spec.get("caBundle"):
                errors.invalid(
                    "spec.caBundle", f"{len(spec['caBundle'])} bytes", "local APIServices may not have a caBundle"
                )
            if spec.get("insecureSkipTLSVerify"):
                errors.invalid(
                    "spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify"
                )
            return
        for field in ("namespace", "name"):
            errors.present(f"spec.service.{field}", service.get(field))
        errors.port("spec.service.port", service.get("port") or 0)
        if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
            errors.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")

    def row(self, obj: Obj) -> list[Any]:
        service = printing.spec(obj).get("service")
        available = meta.get_condition(obj, "Available") or {}
        word = available.get("status") or "Unknown"
        if word != "True" and available.get("reason"):
            word = f"{word} ({available['reason']})"
        return [
            meta.name(obj),
            f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local",
            word,
            printing.age(obj),
        ]


STRATEGIES: dict[str, type[Strategy]] = {"apiservices.apiregistration.k8s.io": APIServiceStrategy}

"""`/healthz`, `/livez` and `/readyz`: named checks, each with a path of its own.

`?verbose` lists every check, `?exclude=NAME` leaves one out. Without either the answer is `ok`, or 500 with the list.

Upstream's server runs hooks when it has started, each with a check of its name, and tests and monitors ask for them by
these names. What they stand for is here done before the server is ready, so they say what readiness says.
"""

from collections import Counter
from collections.abc import Callable

from pynetes.apiserver.request import Request, Response, text_response
from pynetes.machinery import errors
from pynetes.machinery.errors import quote

Check = Callable[[], str]
"""What is wrong, or an empty string."""

ENDPOINTS = ("healthz", "livez", "readyz")

START_HOOKS = (
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "peer-endpoint-reconciler-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "storage-readiness",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kubernetes-service-cidr-controller",
    "aggregator-reload-proxy-client-cert",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
)


def _fine() -> str:
    return ""


class Health:
    """The checks of one server, by endpoint."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Check]] = {name: {"ping": _fine, "log": _fine} for name in ENDPOINTS}
        self._last: dict[tuple[str, str], bool] = {}  # by check and endpoint
        self._counted: Counter[tuple[str, bool, str]] = Counter()

    def add(self, name: str, check: Check, endpoints: tuple[str, ...] = ENDPOINTS) -> None:
        """Add a check to some endpoints."""
        for endpoint in endpoints:
            self._checks[endpoint][name] = check

    def add_startup(self, finished: Callable[[], bool]) -> None:
        """Add the checks of what happens at start; all of it is done when `finished` says so."""

        def check() -> str:
            return "" if finished() else "not finished"

        self.add("informer-sync", check, ("readyz",))
        for hook in START_HOOKS:
            self.add(f"poststarthook/{hook}", check)
            if hook == "kube-apiserver-autoregistration":
                self.add("autoregister-completion", check)

    def answer(self, request: Request, path: str) -> Response:
        """The answer at `/healthz`, `/readyz/etcd`, …"""
        endpoint, _, single = path.strip("/").partition("/")
        checks = self._checks[endpoint]
        if single:
            if single not in checks:
                raise errors.path_not_found()
            fault = self._run(single, endpoint)
            return text_response("ok") if not fault else text_response(f"internal server error: {fault}\n", 500)
        excluded = set(request.query.get("exclude", []))
        lines, failed = [], []
        for name in checks:
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif self._run(name, endpoint):
                lines.append(f"[-]{name} failed: reason withheld")
                failed.append(name)
            else:
                lines.append(f"[+]{name} ok")
        unknown = sorted(excluded - checks.keys())
        if unknown:
            quoted = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            return text_response("\n".join([*lines, f"{endpoint} check failed"]) + "\n", 500)
        if "verbose" in request.query:
            return text_response("\n".join([*lines, f"{endpoint} check passed"]) + "\n")
        return text_response("ok")

    def _run(self, name: str, endpoint: str) -> str:
        fault = self._checks[endpoint][name]()
        self._last[name, endpoint] = not fault
        self._counted[name, not fault, endpoint] += 1
        return fault

    def paths(self) -> set[str]:
        """Where each check alone answers."""
        return {f"/{endpoint}/{name}" for endpoint, checks in self._checks.items() for name in checks}

    def metrics(self) -> str:
        """What the checks said so far, as `/metrics/slis` has it."""
        lines = [
            "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.",
            "# TYPE kubernetes_healthcheck gauge",
        ]
        for (name, endpoint), well in sorted(self._last.items()):
            lines.append(f"kubernetes_healthcheck{{name={quote(name)},type={quote(endpoint)}}} {int(well)}")
        lines += [
            "# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.",
            "# TYPE kubernetes_healthchecks_total counter",
        ]
        for (name, well, endpoint), count in sorted(self._counted.items()):
            status = "success" if well else "error"
            labels = f"name={quote(name)},status={quote(status)},type={quote(endpoint)}"
            lines.append(f"kubernetes_healthchecks_total{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

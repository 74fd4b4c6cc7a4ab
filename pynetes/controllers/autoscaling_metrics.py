"""What pods use, as autoscalers see it: the three metrics APIs, read when asked and never watched.

`metrics.k8s.io` tells cpu and memory of pods, `custom.metrics.k8s.io` anything about pods and objects,
`external.metrics.k8s.io` anything at all. All amounts are in thousandths.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from pynetes.client.client import Client, Unreachable
from pynetes.machinery import clock, quantity
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"

_GENERIC = (
    "the server could not find the requested resource",
    "the server is currently unable to handle the request",
)


class NoMetrics(Exception):
    """The metrics could not be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one pod used, when, and over how long it was measured."""

    value: int
    at: datetime
    window: float


PodSamples = dict[str, Sample]


class MetricsClient:
    """Asks the metrics APIs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(self, name: str, namespace: str, selector: str, container: str = "") -> PodSamples:
        """cpu or memory of the selected pods, of one container if named."""
        path = f"{_RESOURCE}/namespaces/{namespace}/pods"
        about = f"unable to get metrics for resource {name}"
        answer = await self._get(
            path,
            {"labelSelector": selector},
            f"{about}: unable to fetch metrics from resource metrics API",
            "pods.metrics.k8s.io",
        )
        found: PodSamples = {}
        for item in answer.get("items") or []:
            value = _pod_usage(item, name, container)
            if value is not None:
                found[item["metadata"]["name"]] = Sample(
                    value, clock.parse_time(item["timestamp"]), clock.parse_duration(item.get("window", "0"))
                )
        if not found:
            raise NoMetrics(f"{about}: no metrics returned from resource metrics API")
        return found

    async def of_pods(self, metric: str, namespace: str, selector: str, metric_selector: str) -> PodSamples:
        """A custom metric of the selected pods."""
        path = f"{_CUSTOM}/namespaces/{namespace}/pods/*/{quote(metric)}"
        query = {"labelSelector": selector, "metricLabelSelector": metric_selector}
        about = f"unable to get metric {metric}: unable to fetch metrics from custom metrics API"
        answer = await self._get(path, query, about, "")
        found = {
            item["describedObject"]["name"]: Sample(
                quantity.milli(item["value"]),
                clock.parse_time(item["timestamp"]),
                float(item.get("windowSeconds") or 60),
            )
            for item in answer.get("items") or []
        }
        if not found:
            raise NoMetrics(f"unable to get metric {metric}: no metrics returned from custom metrics API")
        return found

    async def of_object(self, metric: str, namespace: str, rt: ResourceType, name: str, metric_selector: str) -> int:
        """A custom metric of one object."""
        path = f"{_CUSTOM}/namespaces/{namespace}/{rt.group_resource}/{quote(name)}/{quote(metric)}"
        place = f"{rt.kind} on {namespace} {name}"
        about = f"unable to get metric {metric}: {place}/unable to fetch metrics from custom metrics API"
        answer = await self._get(path, {"metricLabelSelector": metric_selector}, about, "")
        items = answer.get("items") or []
        if not items:
            raise NoMetrics(f"unable to get metric {metric}: no metrics returned from custom metrics API")
        return quantity.milli(items[0]["value"])

    async def external(self, metric: str, namespace: str, selector: str, shown: str) -> int:
        """The sum of an external metric; `shown` is how errors write the selector."""
        path = f"{_EXTERNAL}/namespaces/{namespace}/{quote(metric)}"
        about = f"unable to get external metric {namespace}/{metric}/{shown}"
        answer = await self._get(
            path,
            {"labelSelector": selector},
            f"{about}: unable to fetch metrics from external metrics API",
            f"{metric}.external.metrics.k8s.io",
        )
        items = answer.get("items") or []
        if not items:
            raise NoMetrics(f"{about}: no metrics returned from external metrics API")
        return sum(quantity.milli(item["value"]) for item in items)

    async def _get(self, path: str, query: dict[str, str], about: str, resource: str) -> Obj:
        """The answer at `path`; `resource` names it in the words for an API that is not there (none: a custom one)."""
        chosen = urlencode({key: value for key, value in query.items() if value})
        try:
            return (await self._client.raw("GET", f"{path}?{chosen}" if chosen else path)).json()
        except StatusError as error:
            raise NoMetrics(f"{about}: {_why(error, resource)}") from error
        except Unreachable as error:
            raise NoMetrics(f"{about}: {error}") from error


def _why(error: StatusError, resource: str) -> str:
    if error.message not in _GENERIC:
        return error.message
    if not resource and error.code == 404:
        return "no custom metrics API (custom.metrics.k8s.io) registered"
    return f"{error.message} (get {resource})" if resource else error.message


def _pod_usage(item: Obj, resource: str, container: str) -> int | None:
    """The pod's use; None if a container's is missing."""
    total = 0
    seen = False
    for each in item.get("containers") or []:
        if container and each.get("name") != container:
            continue
        value = (each.get("usage") or {}).get(resource)
        if value is None:
            return None
        total += quantity.milli(value)
        seen = True
    return total if seen else None

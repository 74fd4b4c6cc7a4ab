"""HorizontalPodAutoscalers: as many replicas as the metrics call for.

Every sync period (and at once when its spec changes) an autoscaler reads its metrics, takes the largest of their
proposals, and moves its target as fast as its behaviour allows. The arithmetic is in `autoscaling_math`, the limits
in `autoscaling_behavior`; without autoscalers nothing here runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pynetes.client.discovery import resource_of_kind
from pynetes.controllers import autoscaling_behavior as pace
from pynetes.controllers import autoscaling_math as proportion
from pynetes.controllers import pods
from pynetes.controllers.autoscaling_metrics import MetricsClient, NoMetrics
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.status import compact, generation, go_label_selector, update_status
from pynetes.machinery import clock, meta, quantity, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.quantity import Quantity
from pynetes.machinery.resources import ResourceType

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
_ATTEMPTS = 5

_FAILED_REASON = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


def amount(milli: int) -> str:
    """Thousandths as a quantity."""
    return str(Quantity(milli * 1_000_000))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one metric calls for, under which name, and what is shown of it."""

    replicas: int
    label: str
    status: Obj


@dataclass(slots=True)
class Decision:
    """What comes of all metrics together; no `replicas` when they do not say."""

    replicas: int | None
    label: str
    statuses: list[Obj] | None


class HorizontalPodAutoscalerController(Controller):
    """Scales by metrics."""

    name = "horizontal-pod-autoscaler-controller"
    component = "horizontal-pod-autoscaler"
    account = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.metrics = MetricsClient(self.client)
        self._memories: dict[str, pace.Memory] = {}
        self.autoscalers = self.watch(AUTOSCALERS, self._changed)
        self.pods = self.watch("pods")

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None:
            if old is not None:
                self._memories.pop(meta.key(old), None)
            return ()
        return (
            (meta.key(new),) if old is None or generation(old) != generation(new) or old["spec"] != new["spec"] else ()
        )

    async def reconcile(self, key: str) -> None:
        found = self.autoscalers.get(key)
        if found is None:
            return
        self.queue.add_after(key, self.context.options.horizontal_pod_autoscaler_sync_period)
        draft = {**found, "status": meta.deep_copy(found.get("status", {}))}
        failure: StatusError | None = None
        try:
            await self._scale(key, found, draft)
        except StatusError as error:
            failure = error
        await update_status(self.client, AUTOSCALERS, found, draft["status"])
        if failure is not None:
            raise failure

    async def _scale(self, key: str, found: Obj, draft: Obj) -> None:
        spec = found["spec"]
        target = spec["scaleTargetRef"]
        try:
            rt = await resource_of_kind(self.client, target["apiVersion"], target["kind"])
            scale = await self.client.get(rt, target["name"], meta.namespace(found), subresource="scale")
        except (StatusError, LookupError) as error:
            text = error.message if isinstance(error, StatusError) else str(error.args[0])
            self.events.event(found, "Warning", "FailedGetScale", text)
            told = f"the HPA controller was unable to get the target's current scale: {text}"
            meta.set_condition(draft, "AbleToScale", "False", "FailedGetScale", told)
            return
        meta.set_condition(
            draft,
            "AbleToScale",
            "True",
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        )
        current = scale["spec"].get("replicas", 0)
        low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
        memory = self._memories.setdefault(key, pace.Memory([(clock.monotonic(), current)]))
        statuses: list[Obj] | None = None
        reason = ""
        idle = current == 0 and meta.is_condition_true(found, "ScaledToZero")
        if current == 0 and not (idle and (low != 0 or outlives_pods(spec))):
            # Whoever made it 0, it was not us: the autoscaler is switched off (KEP-2021).
            desired = 0
            text = "scaling is disabled since the replica count of the target is zero"
            meta.set_condition(draft, "ScalingActive", "False", "ScalingDisabled", text)
        elif current > high:
            desired, reason = high, "Current number of replicas above Spec.MaxReplicas"
        elif current < low and not idle:
            desired, reason = low, "Current number of replicas below Spec.MinReplicas"
        else:
            decision = await self._decide(found, draft, scale, current)
            if decision.replicas is None:
                self._show(draft, current, draft["status"].get("desiredReplicas", 0), decision.statuses)
                return
            statuses = decision.statuses
            wanted = decision.replicas
            down_window = self.context.options.horizontal_pod_autoscaler_downscale_stabilization
            limited = pace.settle(spec, current, wanted, memory, clock.monotonic(), down_window)
            desired = max(limited.replicas, low) if idle else limited.replicas
            if wanted > current:
                reason = f"{decision.label} above target"
            elif wanted < current:
                reason = "All metrics below target"
            if limited.able:
                meta.set_condition(draft, "AbleToScale", "True", *limited.able)
            meta.set_condition(draft, "ScalingLimited", *limited.limited)
        if desired != current:
            await self._rescale(found, draft, rt, scale, desired, reason)
            _note_zero(draft, emptied=current > 0 and desired == 0 and low == 0 and outlives_pods(spec))
            memory.note_change(clock.monotonic(), current, desired, pace.longest_period(spec.get("behavior")))
            draft["status"]["lastScaleTime"] = clock.timestamp()
        self._show(draft, current, desired, statuses)

    @staticmethod
    def _show(draft: Obj, current: int, desired: int, statuses: list[Obj] | None) -> None:
        status = draft["status"]
        status |= {"currentReplicas": current, "desiredReplicas": desired}
        status["observedGeneration"] = generation(draft)
        if statuses is not None:
            status["currentMetrics"] = statuses
        draft["status"] = compact(status, keep=("desiredReplicas", "currentMetrics"))

    async def _rescale(self, found: Obj, draft: Obj, rt: ResourceType, scale: Obj, desired: int, reason: str) -> None:
        try:
            await self._write_scale(rt, scale, desired)
        except StatusError as error:
            draft["status"]["currentReplicas"] = scale["spec"].get("replicas", 0)
            text = f"New size: {desired}; reason: {reason}; error: {error.message}"
            self.events.event(found, "Warning", "FailedRescale", text)
            told = f"the HPA controller was unable to update the target scale: {error.message}"
            meta.set_condition(draft, "AbleToScale", "False", "FailedUpdateScale", told)
            raise
        told = f"the HPA controller was able to update the target scale to {desired}"
        meta.set_condition(draft, "AbleToScale", "True", "SucceededRescale", told)
        self.events.event(found, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")

    async def _write_scale(self, rt: ResourceType, scale: Obj, desired: int) -> None:
        """Also if the target was written meanwhile: its own controller does that all the time."""
        for attempt in range(_ATTEMPTS):
            try:
                wanted = {**scale, "spec": {**scale["spec"], "replicas": desired}}
                await self.client.update(rt, wanted, subresource="scale")
            except StatusError as error:
                if error.reason != "Conflict" or attempt == _ATTEMPTS - 1:
                    raise
                scale = await self.client.get(rt, meta.name(scale), meta.namespace(scale), subresource="scale")
            else:
                return

    async def _decide(self, found: Obj, draft: Obj, scale: Obj, current: int) -> Decision:
        """The largest proposal, if anything can be said."""
        text = scale.get("status", {}).get("selector", "")
        if not text:
            message = "selector is required"
            self.events.event(found, "Warning", "SelectorRequired", message)
            told = "the HPA target's scale is missing a selector"
            meta.set_condition(draft, "ScalingActive", "False", "InvalidSelector", told)
            self.events.event(found, "Warning", "FailedComputeMetricsReplicas", message)
            return Decision(None, "", None)
        readings: list[Reading] = []
        troubles: list[tuple[str, str, str]] = []
        statuses: list[Obj] = []
        for metric in found["spec"].get("metrics") or []:
            try:
                readings.append(await self._read(found, metric, scale, text, current))
                statuses.append(readings[-1].status)
            except NoMetrics as error:
                reason = _FAILED_REASON.get(metric["type"], "InvalidMetricSourceType")
                self.events.event(found, "Warning", reason, str(error))
                troubles.append((reason, str(error), f"{_subject(metric)}{error}"))
                statuses.append({"type": ""})
        best = max(readings, key=lambda reading: reading.replicas, default=None)
        if best is None or (troubles and best.replicas < current):
            self._tell_trouble(found, draft, troubles, len(statuses))
            return Decision(None, "", statuses)
        told = f"the HPA was able to successfully calculate a replica count from {best.label}"
        meta.set_condition(draft, "ScalingActive", "True", "ValidMetricFound", told)
        return Decision(best.replicas, best.label, statuses)

    def _tell_trouble(self, found: Obj, draft: Obj, troubles: list[tuple[str, str, str]], count: int) -> None:
        if not troubles:
            return
        reason, text, whole = troubles[0]
        told = f"the HPA was unable to compute the replica count: {text}"
        meta.set_condition(draft, "ScalingActive", "False", reason, told)
        text = f"invalid metrics ({len(troubles)} invalid out of {count}), first error is: {whole}"
        self.events.event(found, "Warning", "FailedComputeMetricsReplicas", text)

    # Metrics

    async def _read(self, found: Obj, metric: Obj, scale: Obj, selector: str, current: int) -> Reading:
        match metric["type"]:
            case "Resource":
                return await self._read_resource(found, metric["resource"], "", selector, current)
            case "ContainerResource":
                source = metric["containerResource"]
                return await self._read_resource(found, source, source["container"], selector, current)
            case "Pods":
                return await self._read_pods(found, metric["pods"], selector, current)
            case "Object":
                return await self._read_object(found, metric["object"], scale, selector, current)
            case "External":
                return await self._read_external(found, metric["external"], scale, selector, current)
        raise NoMetrics(f'unknown metric source type "{metric["type"]}"')

    def _selected(self, found: Obj, selector: str) -> list[Obj]:
        return self.pods.list(meta.namespace(found), selectors.parse_label_selector(selector))

    def _timing(self) -> proportion.Timing:
        options = self.context.options
        return proportion.Timing(
            options.horizontal_pod_autoscaler_cpu_initialization_period,
            options.horizontal_pod_autoscaler_initial_readiness_delay,
        )

    def _tolerance(self, found: Obj) -> proportion.Tolerance:
        default = self.context.options.horizontal_pod_autoscaler_tolerance
        behavior = found["spec"].get("behavior")

        def of(direction: str) -> float:
            given = pace.rules(behavior, direction).get("tolerance")
            return default if given is None else quantity.milli(given) / 1000

        return proportion.Tolerance(of("scaleDown"), of("scaleUp"))

    async def _read_resource(self, found: Obj, source: Obj, container: str, selector: str, current: int) -> Reading:
        name, target = source["name"], source["target"]
        try:
            samples = await self.metrics.resource(name, meta.namespace(found), selector, container)
        except NoMetrics as error:
            what = "utilization" if target["type"] == "Utilization" else "usage"
            raise NoMetrics(f"failed to get {name} {what}: {error}") from error
        selected = self._selected(found, selector)
        groups = proportion.group(selected, samples, name, self._timing(), clock.now())
        tolerance = self._tolerance(found)
        if target["type"] == "Utilization":
            asked = proportion.requests(selected, container, name)
            percent = target["averageUtilization"]
            proposal = proportion.by_utilization(current, percent, samples, asked, groups, tolerance)
            label = f"{name} resource utilization (percentage of request)"
        else:
            wanted = quantity.milli(target["averageValue"])
            proposal = proportion.by_average(current, wanted, samples, groups, tolerance)
            label = f"{name} resource"
        value: Obj = {"averageValue": amount(proposal.average)}
        if proposal.utilization is not None:
            value["averageUtilization"] = proposal.utilization
        if container:
            shown = {
                "type": "ContainerResource",
                "containerResource": {"name": name, "container": container, "current": value},
            }
            label = label.replace(" resource", " container resource", 1)
        else:
            shown = {"type": "Resource", "resource": {"name": name, "current": value}}
        return Reading(proposal.replicas, label, shown)

    async def _read_pods(self, found: Obj, source: Obj, selector: str, current: int) -> Reading:
        name = source["metric"]["name"]
        labels = _selector_text(source["metric"])
        samples = await self.metrics.of_pods(name, meta.namespace(found), selector, labels)
        selected = self._selected(found, selector)
        groups = proportion.group(selected, samples, "", self._timing(), clock.now())
        wanted = quantity.milli(source["target"]["averageValue"])
        proposal = proportion.by_average(current, wanted, samples, groups, self._tolerance(found))
        shown = {
            "type": "Pods",
            "pods": {"metric": source["metric"], "current": {"averageValue": amount(proposal.average)}},
        }
        return Reading(proposal.replicas, f"pods metric {name}", shown)

    async def _read_object(self, found: Obj, source: Obj, scale: Obj, selector: str, current: int) -> Reading:
        name, about, target = source["metric"]["name"], source["describedObject"], source["target"]
        rt = await self._described(about)
        usage = await self.metrics.of_object(
            name, meta.namespace(found), rt, about["name"], _selector_text(source["metric"])
        )
        replicas, value = self._from_total(found, target, usage, scale, selector, current)
        shown = {"type": "Object", "object": {"metric": source["metric"], "describedObject": about, "current": value}}
        return Reading(replicas, f"{about['kind']} metric {name}", shown)

    async def _described(self, about: Obj) -> ResourceType:
        try:
            return await resource_of_kind(self.client, about["apiVersion"], about["kind"])
        except LookupError as error:
            raise NoMetrics(str(error.args[0])) from error

    async def _read_external(self, found: Obj, source: Obj, scale: Obj, selector: str, current: int) -> Reading:
        name, target = source["metric"]["name"], source["target"]
        labels = _selector_text(source["metric"])
        shown_selector = go_label_selector(source["metric"].get("selector"))
        usage = await self.metrics.external(name, meta.namespace(found), labels, shown_selector)
        replicas, value = self._from_total(found, target, usage, scale, selector, current)
        shown = {"type": "External", "external": {"metric": source["metric"], "current": value}}
        return Reading(replicas, f"external metric {name}({shown_selector})", shown)

    def _from_total(
        self, found: Obj, target: Obj, usage: int, scale: Obj, selector: str, current: int
    ) -> tuple[int, Obj]:
        tolerance = self._tolerance(found)
        if target.get("averageValue") is None or (target["type"] == "Value" and target.get("value") is not None):
            ready = sum(pods.phase(p) == "Running" and pods.is_ready(p) for p in self._selected(found, selector))
            wanted = quantity.milli(target["value"])
            return proportion.by_total(current, ready, usage, wanted, tolerance), {"value": amount(usage)}
        replicas = scale.get("status", {}).get("replicas", 0)
        wanted = quantity.milli(target["averageValue"])
        average = -(-usage // max(1, replicas))
        return proportion.by_total_average(replicas, usage, wanted, tolerance), {"averageValue": amount(average)}


def _subject(metric: Obj) -> str:
    """What begins the message about a metric that could not be had."""
    match metric["type"]:
        case "Resource":
            return f"failed to get {metric['resource']['name']} resource metric value: "
        case "ContainerResource":
            return f"failed to get {metric['containerResource']['name']} container metric value: "
        case "Pods":
            return "failed to get pods metric value: "
        case "Object":
            return "failed to get object metric value: "
        case "External":
            name = metric["external"]["metric"]["name"]
            return f"failed to get {name} external metric value: failed to get {name} external metric: "
    return ""


def _selector_text(metric: Obj) -> str:
    return str(selectors.from_label_selector(metric["selector"])) if metric.get("selector") else ""


def outlives_pods(spec: Obj) -> bool:
    """Whether a metric speaks also while there are no pods."""
    return any(metric["type"] in ("Object", "External") for metric in spec.get("metrics") or [])


def _note_zero(draft: Obj, *, emptied: bool) -> None:
    """Note who took the last pod: only what the autoscaler emptied itself will it fill again (KEP-2021)."""
    if emptied:
        meta.set_condition(
            draft, "ScaledToZero", "True", "ScaledToZero", "the HPA controller scaled the workload to zero"
        )
    else:
        text = "the HPA controller did not scale the workload to zero"
        meta.set_condition(draft, "ScaledToZero", "False", "NotScaledToZero", text)

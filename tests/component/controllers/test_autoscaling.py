"""An autoscaler against the API server and a metrics API that is played."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from pynetes.client.client import Client
from pynetes.controllers.autoscaling import HorizontalPodAutoscalerController
from pynetes.controllers.autoscaling_metrics import MetricsClient
from pynetes.controllers.controller import Context
from pynetes.controllers.options import Options
from pynetes.machinery import clock, meta

World = Any


@contextlib.asynccontextmanager
async def autoscaler(
    world: World, options: Options, path: str, answer: Callable[[web.Request], Awaitable[web.Response]]
) -> AsyncIterator[None]:
    """The controller at work, with a metrics API that has this answer at this path."""
    application = web.Application()
    application.router.add_get(path, answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    context = Context(world.server.client(), options)
    async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}") as metrics:
        controller = HorizontalPodAutoscalerController(context)
        controller.metrics = MetricsClient(metrics)
        tasks = [asyncio.create_task(context.informers.run()), asyncio.create_task(controller.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner.cleanup()


@pytest.mark.options(controllers=["*", "-horizontal-pod-autoscaler-controller"])
async def test_an_autoscaler_scales_by_cpu_and_says_so(world: World, deployment: Any) -> None:
    used = {"cpu": "900m"}

    async def pod_metrics(request: web.Request) -> web.Response:
        pods = await world.items("pods", label_selector=request.query["labelSelector"])
        items = [
            {
                "metadata": {"name": meta.name(pod)},
                "timestamp": clock.timestamp(),
                "window": "15s",
                "containers": [{"name": "app", "usage": used}],
            }
            for pod in pods
        ]
        return web.json_response({"items": items})

    made = deployment(replicas=2)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    await world.create("deployments.apps", made)

    async def running() -> bool:
        return len([p for p in await world.items("pods") if meta.is_condition_true(p, "Ready")]) == 2

    await world.eventually(running)
    # Pods that have only just become ready are not believed about their CPU: let them be old.
    options = Options(
        horizontal_pod_autoscaler_sync_period=0.2,
        horizontal_pod_autoscaler_cpu_initialization_period=0,
        horizontal_pod_autoscaler_downscale_stabilization=0.5,
    )
    async with autoscaler(world, options, "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", pod_metrics):
        target = {"type": "Utilization", "averageUtilization": 50}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        }
        await world.create("horizontalpodautoscalers.autoscaling", {"metadata": {"name": "h"}, "spec": spec})

        async def scaled(count: int) -> Any:
            found = await world.get("horizontalpodautoscalers.autoscaling", "h")
            status = found.get("status", {})
            same = status.get("currentReplicas") == count == status.get("desiredReplicas")
            return status if same and len(await world.names("pods")) == count else None

        status = await world.eventually(lambda: scaled(4))
        current = status["currentMetrics"][0]["resource"]["current"]
        assert current == {"averageUtilization": 90, "averageValue": "900m"}
        conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
        assert conditions["ScalingActive"] == ("True", "ValidMetricFound")
        assert conditions["ScalingLimited"] == ("True", "TooManyReplicas")
        assert "New size: 4; reason: cpu resource utilization (percentage of request) above target" in (
            await world.eventually(lambda: world.events("SuccessfulRescale"))
        )
        used["cpu"] = "100m"
        await world.eventually(lambda: scaled(1))
        assert "New size: 1; reason: All metrics below target" in await world.events("SuccessfulRescale")


@pytest.mark.options(controllers=["*", "-horizontal-pod-autoscaler-controller"])
async def test_what_an_autoscaler_emptied_it_fills_again(world: World, deployment: Any) -> None:
    queued = {"value": "300"}

    async def queue_length(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"metricName": "q", "timestamp": clock.timestamp(), **queued}]})

    await world.create("deployments.apps", deployment(replicas=1))
    options = Options(horizontal_pod_autoscaler_sync_period=0.2, horizontal_pod_autoscaler_downscale_stabilization=0.5)
    async with autoscaler(world, options, "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/q", queue_length):
        external = {"metric": {"name": "q"}, "target": {"type": "Value", "averageValue": "100"}}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 0,
            "maxReplicas": 10,
            "metrics": [{"type": "External", "external": external}],
        }

        async def at(replicas: int, emptied: str, reason: str) -> bool:
            found = (await world.get("horizontalpodautoscalers.autoscaling", "h")).get("status", {})
            conditions = {c["type"]: (c["status"], c["reason"]) for c in found.get("conditions") or []}
            target = await world.get("deployments.apps", "web")
            return target["spec"]["replicas"] == replicas and conditions.get("ScaledToZero") == (emptied, reason)

        await world.create("horizontalpodautoscalers.autoscaling", {"metadata": {"name": "h"}, "spec": spec})
        await world.eventually(lambda: at(3, "False", "NotScaledToZero"))
        queued["value"] = "0"
        await world.eventually(lambda: at(0, "True", "ScaledToZero"))
        queued["value"] = "200"
        await world.eventually(lambda: at(2, "False", "NotScaledToZero"))
        await world.patch("deployments.apps", "web", {"spec": {"replicas": 0}})

        async def switched_off() -> bool:
            found = (await world.get("horizontalpodautoscalers.autoscaling", "h")).get("status", {})
            return any(c["reason"] == "ScalingDisabled" for c in found.get("conditions") or [])

        await world.eventually(switched_off)


@pytest.mark.options(controllers=["*", "-horizontal-pod-autoscaler-controller"])
async def test_a_target_that_was_written_meanwhile_is_scaled_all_the_same(
    world: World, deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.create("deployments.apps", deployment(replicas=1))
    context = Context(world.server.client(), Options())
    controller = HorizontalPodAutoscalerController(context)
    read = controller.client.get
    interfered: list[str] = []

    async def read_and_interfere(*args: Any, **options: Any) -> Any:
        found = await read(*args, **options)
        if options.get("subresource") == "scale" and not interfered:
            interfered.append(meta.name(found))
            await world.patch("deployments.apps", "web", {"metadata": {"labels": {"written": "meanwhile"}}})
        return found

    monkeypatch.setattr(controller.client, "get", read_and_interfere)
    tasks = [asyncio.create_task(context.informers.run()), asyncio.create_task(controller.run())]
    try:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
        await world.create("horizontalpodautoscalers.autoscaling", {"metadata": {"name": "h"}, "spec": spec})

        async def scaled() -> bool:
            return (await world.get("deployments.apps", "web"))["spec"]["replicas"] == 2

        await world.eventually(scaled)
        assert interfered
        assert await world.events("FailedRescale") == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


NOT_FOUND = "the server could not find the requested resource"


@pytest.mark.parametrize(
    ("metric", "reason", "text", "whole"),
    [
        (
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            },
            "FailedGetResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from "
            f"resource metrics API: {NOT_FOUND} (get pods.metrics.k8s.io)",
            "failed to get cpu resource metric value: ",
        ),
        (
            {
                "type": "Pods",
                "pods": {"metric": {"name": "tps"}, "target": {"type": "AverageValue", "averageValue": "5"}},
            },
            "FailedGetPodsMetric",
            "unable to get metric tps: unable to fetch metrics from custom metrics API: no custom metrics API "
            "(custom.metrics.k8s.io) registered",
            "failed to get pods metric value: ",
        ),
        (
            {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "5"}}},
            "FailedGetExternalMetric",
            "unable to get external metric default/q/nil: unable to fetch metrics from external metrics API: "
            f"{NOT_FOUND} (get q.external.metrics.k8s.io)",
            "failed to get q external metric value: failed to get q external metric: ",
        ),
    ],
)
async def test_an_autoscaler_without_metrics_says_what_it_misses(
    world: World, deployment: Any, metric: Any, reason: str, text: str, whole: str
) -> None:
    await world.create("deployments.apps", deployment(replicas=2))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 4, "metrics": [metric]}
    await world.create("horizontalpodautoscalers.autoscaling", {"metadata": {"name": "h"}, "spec": spec})

    async def told() -> Any:
        found = await world.get("horizontalpodautoscalers.autoscaling", "h")
        return found if meta.get_condition(found, "ScalingActive") else None

    found = await world.eventually(told)
    condition = meta.get_condition(found, "ScalingActive")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert condition["message"] == f"the HPA was unable to compute the replica count: {text}"
    assert (found["status"]["currentReplicas"], found["status"]["desiredReplicas"]) == (2, 0)

    async def events() -> bool:
        computed = f"invalid metrics (1 invalid out of 1), first error is: {whole}{text}"
        return await world.events(reason) == [text] and await world.events("FailedComputeMetricsReplicas") == [computed]

    await world.eventually(events)

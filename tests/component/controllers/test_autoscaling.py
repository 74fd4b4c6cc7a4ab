"""An autoscaler against the API server and a metrics API that is played."""

import asyncio
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

    application = web.Application()
    application.router.add_get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", pod_metrics)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
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
    context = Context(world.server.client(), options)
    async with Client(f"http://127.0.0.1:{port}") as metrics:
        controller = HorizontalPodAutoscalerController(context)
        controller.metrics = MetricsClient(metrics)
        tasks = [asyncio.create_task(context.informers.run()), asyncio.create_task(controller.run())]
        target = {"type": "Utilization", "averageUtilization": 50}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        }
        try:
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
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner.cleanup()

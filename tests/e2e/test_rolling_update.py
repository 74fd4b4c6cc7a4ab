"""A Deployment rolled from one version to the next, and back, under steady load from outside the pods."""

import threading
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from tests.e2e.conftest import Cluster, container, eventually

REPLICAS = 3


def deployment(version: str) -> dict[str, Any]:
    serve = f"mkdir -p /tmp/www && echo {version} > /tmp/www/index.html && exec httpd -f -p 8000 -h /tmp/www"
    web = container(
        "web",
        serve,
        ports=[{"name": "http", "containerPort": 8000}],
        readinessProbe={"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        lifecycle={"preStop": {"exec": {"command": ["sleep", "1"]}}},
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 3, "containers": [web]},
            },
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}


class Load:
    """Four clients that ask for the page again and again, a new connection each time, and count the answers."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}/"
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def ask(self) -> str:
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            return str(answer.read().decode().strip())

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            try:
                self.answers[self.ask()] += 1
            except OSError as error:
                self.failures.append(repr(error))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def answers(load: Load) -> str:
    try:
        return load.ask()
    except OSError as error:
        return repr(error)


def test_no_request_fails_while_a_deployment_is_rolled_and_rolled_back(cluster: Cluster) -> None:
    cluster.apply(deployment("v1"), SERVICE)
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    address = eventually(
        lambda: cluster.kubectl("get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
    )
    load = Load(address)
    eventually(lambda: answers(load) == "v1")

    with load:
        cluster.apply(deployment("v2"))
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=150)
        eventually(lambda: answers(load) == "v2")
        cluster.kubectl("rollout", "undo", "deployment/web")
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=150)

    assert load.failures == []
    assert load.answers["v1"] > 0 and load.answers["v2"] > 0 and set(load.answers) == {"v1", "v2"}
    eventually(lambda: answers(load) == "v1")
    history = cluster.kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["2", "3"]
    events = cluster.kubectl("describe", "deployment", "web")
    assert "Scaled up replica set web-" in events and "from 0 to 3" in events

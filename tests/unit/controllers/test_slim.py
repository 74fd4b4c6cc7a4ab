"""Slim pods keep what decides and share what they have in common."""

from typing import Any

from pynetes.controllers import pods
from pynetes.controllers.protection import claims_of
from pynetes.controllers.service_pods import endpoint_ports
from pynetes.controllers.slim import slim_pod
from pynetes.machinery import quota


def pod(name: str) -> dict[str, Any]:
    ports = [{"name": "web", "containerPort": 80}]
    container = {
        "name": "app",
        "image": "a",
        "env": [{"name": "A", "value": "b"}],
        "ports": ports,
        "resources": {"requests": {"cpu": "1"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "uid": name, "labels": {"a": "b"}, "managedFields": [{}]},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "x"}}, {"name": "e", "emptyDir": {}}],
            "tolerations": [{"operator": "Exists"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [{"name": "app", "restartCount": 3, "imageID": "sha256:1", "state": {"running": {}}}],
        },
    }


def test_decisions_about_a_slim_pod_are_those_about_the_whole() -> None:
    whole, slim = pod("p"), slim_pod(pod("p"))
    assert pods.is_ready(slim)
    assert pods.restarts(slim) == pods.restarts(whole) == 3
    assert claims_of(slim) == claims_of(whole) == ["x"]
    assert quota.usage("pods", slim) == quota.usage("pods", whole)
    service = {"spec": {"ports": [{"port": 8080, "targetPort": "web"}]}}
    assert endpoint_ports(service, slim) == endpoint_ports(service, whole)


def test_what_only_kubelets_need_is_left_out() -> None:
    slim = slim_pod(pod("p"))
    assert "env" not in slim["spec"]["containers"][0]
    assert "managedFields" not in slim["metadata"]
    assert slim["status"]["containerStatuses"] == [{"name": "app", "restartCount": 3}]


def test_pods_of_one_template_share_their_common_parts() -> None:
    one, two = slim_pod(pod("one")), slim_pod(pod("two"))
    assert one["spec"]["containers"] is two["spec"]["containers"]
    assert one["metadata"]["labels"] is two["metadata"]["labels"]
    assert one["metadata"]["name"] != two["metadata"]["name"]

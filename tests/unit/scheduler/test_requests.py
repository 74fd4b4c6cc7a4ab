"""What a pod asks of its node, by upstream's rule for init containers, sidecars and overhead."""

from pynetes.machinery.meta import Obj
from pynetes.scheduler.podinfo import requests_of, scoring_requests_of


def container(cpu: str | None = None, **more: object) -> Obj:
    return {"name": "c", "resources": {"requests": {"cpu": cpu} if cpu else {}}, **more}


def pod(*containers: Obj, init: list[Obj] | None = None, **spec: object) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), "initContainers": init or [], **spec}}


def test_containers_add_up() -> None:
    assert requests_of(pod(container("100m"), container("1")))["cpu"] == 1100


def test_the_largest_init_container_counts_if_it_is_more() -> None:
    assert requests_of(pod(container("100m"), init=[container("2"), container("1")]))["cpu"] == 2000


def test_a_sidecar_counts_with_the_containers_and_with_later_init_containers() -> None:
    sidecar = container("500m", restartPolicy="Always")
    assert requests_of(pod(container("100m"), init=[sidecar]))["cpu"] == 600
    assert requests_of(pod(container("100m"), init=[sidecar, container("2")]))["cpu"] == 2500
    assert requests_of(pod(container("100m"), init=[container("2"), sidecar]))["cpu"] == 2000


def test_overhead_is_added() -> None:
    assert requests_of(pod(container("1"), overhead={"cpu": "250m"}))["cpu"] == 1250


def test_a_pod_level_request_wins() -> None:
    assert requests_of(pod(container("1"), resources={"requests": {"cpu": "3"}}))["cpu"] == 3000


def test_a_container_without_requests_counts_a_little_in_scoring() -> None:
    assert scoring_requests_of(pod(container()))["cpu"] == 100
    assert scoring_requests_of(pod(container()))["memory"] == 200 * 1024 * 1024

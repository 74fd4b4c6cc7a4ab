"""What users get wrong, and the answer, reason, event and waiting state they get for it: upstream's, to the word."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import BUSYBOX, Cluster, container, eventually, pod

# -- containers that cannot start or stay -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A faulty pod, the state its container must get into, and an event that must tell why."""

    pod: dict[str, Any]
    waiting: str
    message: str
    event: tuple[str, str, str]
    last: dict[str, Any] | None = None


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


MOUNT = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
RUNC = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "

CASES = {
    "an-image-that-does-not-exist": Case(
        pod("p", {"name": "c", "image": "127.0.0.1:1/none:1"}),
        "ImagePullBackOff",
        'Back-off pulling image "127.0.0.1:1/none:1": ErrImagePull: ',
        ("Warning", "Failed", 'Failed to pull image "127.0.0.1:1/none:1": '),
    ),
    "an-image-that-is-never-pulled": Case(
        pod("p", {"name": "c", "image": "pynetes.test/none:1", "imagePullPolicy": "Never"}),
        "ErrImageNeverPull",
        'Container image "pynetes.test/none:1" is not present with pull policy of Never',
        ("Warning", "ErrImageNeverPull", 'Container image "pynetes.test/none:1" is not present'),
    ),
    "an-image-name-that-is-none": Case(
        pod("p", {"name": "c", "image": "BAD NAME"}),
        "InvalidImageName",
        'Failed to apply default image tag "BAD NAME": couldn\'t parse image name "BAD NAME": invalid reference format',
        ("Warning", "InspectFailed", 'Failed to apply default image tag "BAD NAME"'),
    ),
    "a-command-that-does-not-exist": Case(
        pod("p", {"name": "c", "image": BUSYBOX, "command": ["/no/such"]}),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Warning", "Failed", f'Error: {RUNC}unable to start container process: exec: "/no/such": stat /no/such'),
        {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"},
    ),
    "a-configmap-missing-in-the-environment": Case(
        pod("p", container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a"}}}])),
        "CreateContainerConfigError",
        'configmap "none" not found',
        ("Warning", "Failed", 'Error: configmap "none" not found'),
    ),
    "a-key-missing-in-a-configmap": Case(
        pod(
            "p",
            container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "kube-root-ca.crt", "key": "a"}}}]),
        ),
        "CreateContainerConfigError",
        "couldn't find key a in ConfigMap ",
        ("Warning", "Failed", "Error: couldn't find key a in ConfigMap "),
    ),
    "a-secret-missing-for-the-whole-environment": Case(
        pod("p", container(envFrom=[{"secretRef": {"name": "none"}}])),
        "CreateContainerConfigError",
        'secret "none" not found',
        ("Warning", "Failed", 'Error: secret "none" not found'),
    ),
    "root-where-it-is-forbidden": Case(
        pod("p", container(securityContext={"runAsNonRoot": True})),
        "CreateContainerConfigError",
        "container has runAsNonRoot and image will run as root",
        ("Warning", "Failed", "Error: container has runAsNonRoot and image will run as root"),
    ),
    "a-configmap-missing-as-a-volume": Case(
        pod("p", container(**MOUNT), **volume(configMap={"name": "none"})),
        "ContainerCreating",
        "",
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
    ),
    "a-secret-missing-as-a-volume": Case(
        pod("p", container(**MOUNT), **volume(secret={"secretName": "none"})),
        "ContainerCreating",
        "",
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "none" not found'),
    ),
    "a-key-missing-in-a-volume": Case(
        pod(
            "p",
            container(**MOUNT),
            **volume(configMap={"name": "kube-root-ca.crt", "items": [{"key": "none", "path": "a"}]}),
        ),
        "ContainerCreating",
        "",
        ("Warning", "FailedMount", "configmap references non-existent config key: none"),
    ),
    "a-host-directory-that-is-missing": Case(
        pod("p", container(**MOUNT), **volume(hostPath={"path": "/no/such", "type": "Directory"})),
        "ContainerCreating",
        "",
        ("Warning", "FailedMount", "hostPath type check failed: /no/such is not a directory"),
    ),
    "a-command-that-fails": Case(
        pod("p", container(command="exit 3")),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Warning", "BackOff", "Back-off restarting failed container c in pod "),
        {"exitCode": 3, "reason": "Error"},
    ),
    "more-memory-than-allowed": Case(
        pod("p", container(command="tail /dev/zero", resources={"limits": {"memory": "20Mi"}})),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Warning", "BackOff", "Back-off restarting failed container c in pod "),
        {"exitCode": 137, "reason": "OOMKilled"},
    ),
    "a-write-to-a-read-only-root": Case(
        pod("p", container(command="echo x >/file || exit 9", securityContext={"readOnlyRootFilesystem": True})),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Normal", "Started", "Container started"),
        {"exitCode": 9, "reason": "Error"},
    ),
    "a-hook-that-fails": Case(
        pod("p", container(lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "exit 5"]}}})),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Warning", "FailedPostStartHook", "PostStartHook failed"),
        {"exitCode": 137, "reason": "Error"},
    ),
    "a-liveness-probe-that-fails": Case(
        pod(
            "p",
            container(
                livenessProbe={
                    "exec": {"command": ["sh", "-c", "echo dead; exit 1"]},
                    "periodSeconds": 1,
                    "failureThreshold": 1,
                }
            ),
        ),
        "CrashLoopBackOff",
        "restarting failed container=c pod=",
        ("Warning", "Unhealthy", "Liveness probe failed: dead"),
        {"exitCode": 137, "reason": "Error"},
    ),
}


@pytest.fixture(scope="module")
def faulty(session_cluster: Cluster) -> Iterator[Cluster]:
    """A namespace in which every faulty pod has been started at once."""
    mine = Cluster(session_cluster.name, session_cluster.directory, session_cluster.environment, namespace="faulty")
    mine.kubectl("create", "namespace", "faulty")
    eventually(lambda: mine.kubectl("get", "serviceaccount", "default", ok=False).startswith("NAME"))
    eventually(lambda: mine.kubectl("get", "configmap", "kube-root-ca.crt", ok=False).startswith("NAME"))
    mine.apply(*(case.pod | {"metadata": {"name": name}} for name, case in CASES.items()))
    yield mine
    mine.kubectl("delete", "namespace", "faulty", "--wait=false")


def events_of(cluster: Cluster, name: str) -> list[tuple[str, str, str]]:
    found = cluster.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
    return [(e["type"], e["reason"], e["message"]) for e in found]


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_pod_says_what_is_wrong(faulty: Cluster, name: str) -> None:
    case = CASES[name]

    def status() -> dict[str, Any]:
        found = faulty.get("pod", name)["status"].get("containerStatuses")
        assert found, "the kubelet has not reported yet"
        return dict(found[0])

    def state() -> dict[str, Any] | None:
        waiting = status()["state"].get("waiting", {})
        return waiting if waiting.get("reason") == case.waiting else None

    assert case.message in eventually(state, 60).get("message", "")
    if case.last:
        terminated = eventually(lambda: status()["lastState"].get("terminated"))
        assert {key: terminated[key] for key in case.last} == case.last
        assert status()["restartCount"] >= 1

    def event() -> bool:
        kind, reason, text = case.event
        seen = events_of(faulty, name)
        assert any(e[:2] == (kind, reason) and text in e[2] for e in seen), seen
        return True

    eventually(event, 10)
    row = faulty.kubectl("get", "pod", name, "--no-headers").split()
    assert row[1] == "0/1"


def test_a_failing_readiness_probe_leaves_the_pod_running_unready(cluster: Cluster) -> None:
    probe = {"httpGet": {"port": 80, "path": "/ready"}, "periodSeconds": 1}
    cluster.apply(pod("p", container(readinessProbe=probe)))

    def event() -> bool:
        address = cluster.get("pod", "p")["status"].get("podIP")
        message = f'Readiness probe failed: Get "http://{address}:80/ready": dial tcp {address}:80: connect: '
        return ("Warning", "Unhealthy", f"{message}connection refused") in events_of(cluster, "p")

    eventually(event)
    status = cluster.get("pod", "p")["status"]
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == ("Running", 0)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c]"


def test_a_pod_that_fits_nowhere_is_pending_and_says_why(cluster: Cluster) -> None:
    cluster.apply(pod("p", container(resources={"requests": {"cpu": "100"}})), pod("q", nodeSelector={"disk": "ssd"}))
    for name, cause in (("p", "1 Insufficient cpu."), ("q", "1 node(s) didn't match Pod's node affinity/selector.")):
        start = f"0/1 nodes are available: {cause}"
        eventually(lambda name=name, start=start: any(
            e[:2] == ("Warning", "FailedScheduling") and e[2].startswith(start) for e in events_of(cluster, name)
        ))  # fmt: skip
        condition = cluster.get("pod", name)["status"]["conditions"][0]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "PodScheduled", "False", "Unschedulable"
        )  # fmt: skip
        assert condition["message"].startswith(start)


def test_a_missing_volume_source_that_appears_lets_the_pod_start(cluster: Cluster) -> None:
    cluster.apply(pod("p", container(**MOUNT), **volume(configMap={"name": "late"})))
    eventually(lambda: any(reason == "FailedMount" for _, reason, _ in events_of(cluster, "p")))
    cluster.kubectl("create", "configmap", "late", "--from-literal=a=b")
    cluster.wait("condition=Ready", "pod/p", seconds=90)
    assert cluster.kubectl("exec", "p", "--", "cat", "/v/a") == "b"


# -- what kubectl is refused ------------------------------------------------------------------------------------------


X = {"metadata": {"name": "x"}}
REFUSED: dict[str, tuple[Any, str]] = {
    "broken YAML": ("a: [", "yaml: line 1"),
    "broken JSON": ('{"apiVersion": "v1", "kind": "Pod", ', "error"),
    "not an object": ("just text", "invalid object to validate"),
    "no kind": ({"apiVersion": "v1", **X}, "kind not set"),
    "no version": ({"kind": "Pod", **X}, "apiVersion not set"),
    "an unknown kind": ({"apiVersion": "v1", "kind": "None", **X}, 'no matches for kind "None" in version "v1"'),
    "an unknown group": ({"apiVersion": "none/v1", "kind": "Pod", **X}, 'no matches for kind "Pod" in version "none'),
    "a bad name": (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name"}},
        'The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain',
    ),
    "no name": ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, "resource name may not be empty"),
    "no ports": (
        {"apiVersion": "v1", "kind": "Service", **X, "spec": {}},
        'The Service "x" is invalid: spec.ports: Required value',
    ),
    "no image": (
        {"apiVersion": "v1", "kind": "Pod", **X, "spec": {"containers": [{"name": "c"}]}},
        'The Pod "x" is invalid: spec.containers[0].image: Required value',
    ),
    "no selector": (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            **X,
            "spec": {"template": {"spec": {"containers": []}}, "selector": {}},
        },
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_apply_refuses_with_upstreams_words(any_kubectl: Cluster, what: str) -> None:
    manifest, answer = REFUSED[what]
    given = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest)
    text = any_kubectl.kubectl("apply", "-f", "-", stdin=given, ok=False)
    assert answer in text
    assert "created" not in text


def test_unknown_fields_are_errors_warnings_or_ignored(cluster: Cluster) -> None:
    manifest = json.dumps(pod("p", container(imagePullPolcy="Never"), nodeSelectr={}))

    def apply(mode: str) -> str:
        return cluster.kubectl(
            "apply", "-f", "-", f"--validate={mode}", "--dry-run=server", stdin=manifest, ok=False
        )  # fmt: skip

    strict = apply("strict")
    assert "strict decoding error" in strict
    assert 'unknown field "spec.containers[0].imagePullPolcy"' in strict
    assert 'unknown field "spec.nodeSelectr"' in strict
    assert "created" not in strict
    warned = apply("warn")
    assert 'Warning: unknown field "spec.containers[0].imagePullPolcy"' in warned
    assert "pod/p created (server dry run)" in warned
    assert apply("ignore") == "pod/p created (server dry run)\n"


def test_a_wrong_type_names_the_field(cluster: Cluster) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 5}}
    text = cluster.kubectl("create", "-f", "-", "--validate=false", stdin=json.dumps(manifest), ok=False)
    assert text.startswith("Error from server (BadRequest): error when creating")
    assert "cannot unmarshal number into Go struct field ConfigMap.data of type string" in text


def test_a_pod_cannot_be_changed_into_another(cluster: Cluster) -> None:
    cluster.apply(pod("p"))
    text = cluster.kubectl("patch", "pod", "p", "-p", '{"spec": {"nodeSelector": {"a": "b"}}}', ok=False)
    assert 'The Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than' in text


def test_an_object_over_the_limit_is_refused(cluster: Cluster, tmp_path: Any) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1 << 21))
    text = cluster.kubectl("create", "configmap", "big", f"--from-file={big}", ok=False)
    assert "Too long: may not be more than 1048576 bytes" in text
    huge = tmp_path / "huge"
    huge.write_bytes(b"x" * (1 << 22))
    assert "Request entity too large" in cluster.kubectl("create", "configmap", "huge", f"--from-file={huge}", ok=False)

"""Pods on a real node: how they start, end, fail and come back."""

from pathlib import Path

import pytest

from pynetes.kubelet.retries import RETRY_SECONDS
from pynetes.machinery import clock, meta
from pynetes.testing.node import BUSYBOX, NON_ROOT, Node, is_ready, make_pod, state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_a_pod_runs_and_reports_everything(node: Node) -> None:
    await node.create(make_pod("first", "sleep", "3600"))
    pod = await node.wait("first", is_ready)
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.99.0.") and status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"] == "127.0.0.1" and status["hostIPs"] == [{"ip": "127.0.0.1"}]
    assert status["qosClass"] == "BestEffort"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    container = status["containerStatuses"][0]
    assert container["restartCount"] == 0 and container["ready"] and container["started"]
    assert container["containerID"].startswith("containerd://")
    assert container["image"] == BUSYBOX
    assert await node.events("first") == [
        ("Pulled", f'Container image "{BUSYBOX}" already present on machine and can be accessed by the pod'),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ]
    await node.delete("first")
    assert ("Killing", "Stopping container app") in await node.events("first")


async def test_a_pod_that_ends_well_succeeds(node: Node) -> None:
    await node.create(make_pod("done", "true", restartPolicy="Never"))
    pod = await node.wait("done", lambda pod: pod["status"].get("phase") == "Succeeded")
    terminated = state(pod)["terminated"]
    assert terminated["exitCode"] == 0 and terminated["reason"] == "Completed"
    pod = await node.wait(
        "done", lambda pod: any(c.get("reason") == "PodCompleted" for c in pod["status"]["conditions"])
    )
    conditions = {c["type"]: (c["status"], c.get("reason")) for c in pod["status"]["conditions"]}
    assert conditions["Ready"] == conditions["ContainersReady"] == ("False", "PodCompleted")
    assert conditions["Initialized"] == ("True", "PodCompleted")
    await node.delete("done")


async def test_a_pod_that_somebody_else_declares_failed_is_stopped_and_stays_so(node: Node) -> None:
    await node.create(make_pod("declared", "sleep", "3600", terminationGracePeriodSeconds=1))
    await node.wait("declared", is_ready)
    failed = {"status": {"phase": "Failed", "reason": "Because"}}
    await node.client.patch("pods", "declared", failed, "default", type="merge", subresource="status")
    pod = await node.wait("declared", lambda pod: "terminated" in state(pod))
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Because")
    assert not is_ready(pod)
    await node.delete("declared")


async def test_a_pod_that_ends_badly_fails(node: Node) -> None:
    await node.create(make_pod("failed", "sh", "-c", "exit 3", restartPolicy="Never"))
    pod = await node.wait("failed", lambda pod: pod["status"].get("phase") == "Failed")
    terminated = state(pod)["terminated"]
    assert terminated["exitCode"] == 3 and terminated["reason"] == "Error"
    await node.delete("failed")


async def test_a_crashing_container_restarts_at_once_and_then_backs_off(node: Node) -> None:
    await node.create(make_pod("crash", "sh", "-c", "exit 1"))

    def backing_off(pod: dict) -> bool:
        return state(pod).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    pod = await node.wait("crash", backing_off)
    container = pod["status"]["containerStatuses"][0]
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 1
    uid = pod["metadata"]["uid"]
    text = f"back-off 10s restarting failed container=app pod=crash_default({uid})"
    assert container["state"]["waiting"]["message"] == text
    assert pod["status"]["phase"] == "Running"
    expected = f"Back-off restarting failed container app in pod crash_default({uid})"
    assert ("BackOff", expected) in await node.events("crash")
    pod = await node.wait("crash", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 2, 15)
    await node.delete("crash")


async def test_on_failure_restarts_until_success(node: Node) -> None:
    script = "test -e /data/once && exit 0; touch /data/once; exit 1"
    pod = make_pod("onfailure", "sh", "-c", script, restartPolicy="OnFailure", volumes=[{"name": "d", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "d", "mountPath": "/data"}]
    await node.create(pod)
    pod = await node.wait("onfailure", lambda pod: pod["status"].get("phase") == "Succeeded")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    await node.delete("onfailure")


async def test_init_containers_run_in_order_before_the_app(node: Node) -> None:
    mounts = [{"name": "d", "mountPath": "/data"}]
    init = [
        {"name": name, "image": BUSYBOX, "command": ["sh", "-c", f"echo {name} >> /data/log"], "volumeMounts": mounts}
        for name in ("one", "two")
    ]
    pod = make_pod("init", "sleep", "3600", initContainers=init, volumes=[{"name": "d", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = mounts
    await node.create(pod)
    pod = await node.wait("init", is_ready)
    assert [s["state"]["terminated"]["exitCode"] for s in pod["status"]["initContainerStatuses"]] == [0, 0]
    assert all(s["ready"] for s in pod["status"]["initContainerStatuses"])
    assert await node.exec(pod, "cat", "/data/log") == "one\ntwo\n"
    await node.delete("init")


async def test_a_failing_init_container_fails_a_pod_that_never_restarts(node: Node) -> None:
    init = [{"name": "one", "image": BUSYBOX, "command": ["false"]}]
    await node.create(make_pod("initfail", "sleep", "3600", initContainers=init, restartPolicy="Never"))
    pod = await node.wait("initfail", lambda pod: pod["status"].get("phase") == "Failed")
    assert state(pod) == {"waiting": {"reason": "PodInitializing"}}
    await node.delete("initfail")


async def test_a_sidecar_starts_before_the_app_and_ends_after_it(node: Node) -> None:
    mounts = [{"name": "d", "mountPath": "/data"}]
    sidecar = {
        "name": "side",
        "image": BUSYBOX,
        "restartPolicy": "Always",
        "command": [
            "sh",
            "-c",
            "trap 'echo side-end >> /data/log; exit 0' TERM; echo side >> /data/log; while true; do sleep 0.1; done",
        ],
        "volumeMounts": mounts,
    }
    command = "trap 'echo app-end >> /data/log; exit 0' TERM; echo app >> /data/log; while true; do sleep 0.1; done"
    host = node.options.root_dir.parent / "shared"
    pod = make_pod(
        "sidecar", "sh", "-c", command, initContainers=[sidecar], terminationGracePeriodSeconds=10,
        volumes=[{"name": "d", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}}],
    )  # fmt: skip
    pod["spec"]["containers"][0]["volumeMounts"] = mounts
    await node.create(pod)
    pod = await node.wait("sidecar", is_ready)
    assert pod["status"]["initContainerStatuses"][0]["started"]
    await node.delete("sidecar")
    assert (host / "log").read_text().split() == ["side", "app", "app-end", "side-end"]


async def test_one_containers_end_restarts_all_of_them_in_place(node: Node) -> None:
    mounts = [{"name": "d", "mountPath": "/d"}]
    init = {"name": "init", "image": BUSYBOX, "command": ["sh", "-c", "echo init >> /d/log"], "volumeMounts": mounts}
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    once = "test -f /d/done && exec sleep 3600; touch /d/done; sleep 1; exit 42"
    watcher = {"name": "watcher", "image": BUSYBOX, "command": ["sh", "-c", once], "volumeMounts": mounts}
    watcher |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    pod = make_pod(
        "anew", "sleep", "3600", initContainers=[init], restartPolicy="Never", volumes=[{"name": "d", "emptyDir": {}}]
    )
    pod["spec"]["containers"].append(watcher)
    await node.create(pod)
    condition = await node.wait("anew", lambda p: meta.is_condition_true(p, "AllContainersRestarting"))
    first = meta.get_condition(condition, "AllContainersRestarting")
    assert first and (first["reason"], first["message"]) == (
        "RestartAllContainersStarted",
        "container exited with restart policy rule",
    )
    pod = await node.wait("anew", lambda p: is_ready(p) and p["status"]["containerStatuses"][0]["restartCount"] == 1)
    statuses = [*pod["status"]["containerStatuses"], *pod["status"]["initContainerStatuses"]]
    assert [(each["name"], each["restartCount"]) for each in statuses] == [("app", 1), ("watcher", 1), ("init", 1)]
    assert [each["lastState"]["terminated"]["exitCode"] for each in statuses] == [137, 42, 0]
    assert not meta.is_condition_true(pod, "AllContainersRestarting")
    assert pod["status"]["podIP"] == condition["status"]["podIP"]
    assert await node.exec(pod, "cat", "/d/log", container="watcher") == "init\ninit\n"
    await node.delete("anew")


async def test_a_command_that_does_not_exist(node: Node) -> None:
    await node.create(make_pod("nocommand", "/does/not/exist"))
    pod = await node.wait(
        "nocommand", lambda pod: "waiting" in state(pod) and state(pod)["waiting"]["reason"] != "ContainerCreating"
    )
    waiting = state(pod)["waiting"]
    assert waiting["reason"] in ("RunContainerError", "CrashLoopBackOff")
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["reason"] == "StartError" and last["exitCode"] == 128
    assert any(r == "Failed" and "no such file or directory" in m for r, m in await node.events("nocommand"))
    await node.delete("nocommand")


@pytest.mark.parametrize(
    ("name", "image", "policy", "reason"),
    [
        ("never", "pynetes.local/absent:1", "Never", "ErrImageNeverPull"),
        ("invalid", "pynetes.local/UPPER:1", "IfNotPresent", "InvalidImageName"),
        ("absent", "127.0.0.1:1/absent:1", "IfNotPresent", "ImagePullBackOff"),
    ],
)
async def test_an_image_that_is_not_to_be_had(node: Node, name: str, image: str, policy: str, reason: str) -> None:
    container = {"image": image, "imagePullPolicy": policy}
    await node.create(make_pod(f"image-{name}", "true", container=container))
    pod = await node.wait(f"image-{name}", lambda pod: state(pod).get("waiting", {}).get("reason") == reason)
    assert pod["status"]["phase"] == "Pending"
    events = dict(await node.events(f"image-{name}"))
    assert events["Failed"].startswith("Error: ")
    if name == "absent":
        assert state(pod)["waiting"]["message"].startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
        assert events["Pulling"] == f'Pulling image "{image}"'
    await node.delete(f"image-{name}")


async def test_a_failed_pull_is_seen_before_it_backs_off_once(node: Node) -> None:
    image = "127.0.0.1:1/gone:1"
    await node.create(make_pod("pull", "true", container={"image": image}))
    pod = await node.wait("pull", lambda pod: state(pod).get("waiting", {}).get("reason") == "ErrImagePull")
    assert "connection refused" in state(pod)["waiting"]["message"]
    await node.wait("pull", lambda pod: state(pod).get("waiting", {}).get("reason") == "ImagePullBackOff")
    told = [message for reason, message in await node.events("pull") if reason == "BackOff"]
    assert told == [f'Back-off pulling image "{image}"']
    await node.delete("pull")


async def test_a_missing_config_map_keeps_the_container_waiting_until_it_appears(node: Node) -> None:
    reference = {"configMapKeyRef": {"name": "later", "key": "a"}}
    pod = make_pod("config", "sleep", "3600", container={"env": [{"name": "A", "valueFrom": reference}]})
    await node.create(pod)
    pod = await node.wait(
        "config", lambda pod: state(pod).get("waiting", {}).get("reason") == "CreateContainerConfigError"
    )
    assert state(pod)["waiting"]["message"] == 'configmap "later" not found'
    assert ("Failed", 'Error: configmap "later" not found') in await node.events("config")
    await node.client.create("configmaps", {"metadata": {"name": "later", "namespace": "default"}, "data": {"a": "x"}})
    pod = await node.wait("config", is_ready, 5)
    assert await node.exec(pod, "sh", "-c", "echo $A") == "x\n"
    await node.delete("config")


async def test_a_container_that_cannot_be_made_is_not_tried_again_at_every_look(node: Node) -> None:
    began = clock.monotonic()
    security = {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "no.json"}}}
    await node.create(make_pod("unmakable", "sleep", "3600", container=security))
    await node.wait("unmakable", lambda pod: state(pod).get("waiting", {}).get("reason") == "CreateContainerError")
    for generation, seconds in ((2, 900), (3, 800)):
        await node.client.patch("pods", "unmakable", {"spec": {"activeDeadlineSeconds": seconds}}, namespace="default")
        await node.wait("unmakable", lambda pod, g=generation: pod["status"].get("observedGeneration") == g)
    await node.kubelet.events.flush()
    selector = "involvedObject.name=unmakable,reason=Failed"
    events = (await node.client.list("events", "default", field_selector=selector)).items
    assert 1 <= sum(event["count"] for event in events) <= 1 + (clock.monotonic() - began) // RETRY_SECONDS
    await node.delete("unmakable")


async def test_mounts_reach_another_container_where_both_ask_for_it(node: Node) -> None:
    def container(name: str, propagation: str, script: str) -> dict[str, object]:
        mount = {"name": "v", "mountPath": "/v", "mountPropagation": propagation}
        security = {"privileged": propagation == "Bidirectional"}
        return {
            "name": name,
            "image": BUSYBOX,
            "command": ["sh", "-c", script],
            "volumeMounts": [mount],
            "securityContext": security,
        }

    seen = "until [ -e /v/m/file ]; do sleep 0.1; done"
    pod = make_pod("mounts", "unused", restartPolicy="Never", volumes=[{"name": "v", "emptyDir": {}}])
    pod["spec"]["containers"] = [
        container("mounter", "Bidirectional", "mkdir /v/m && mount -t tmpfs x /v/m && touch /v/m/file && sleep 3600"),
        container("seer", "HostToContainer", seen),
    ]
    await node.create(pod)
    await node.wait("mounts", lambda pod: state(pod, "seer").get("terminated", {}).get("reason") == "Completed")
    await node.delete("mounts", grace=0)


async def test_a_volume_whose_secret_is_missing_is_told_and_mounted_later(node: Node) -> None:
    pod = make_pod("mount", "sleep", "3600", volumes=[{"name": "s", "secret": {"secretName": "tardy"}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "s", "mountPath": "/s"}]
    await node.create(pod)
    pod = await node.wait("mount", lambda pod: state(pod).get("waiting", {}).get("reason") == "ContainerCreating")
    await clock.sleep(0.7)
    text = 'MountVolume.SetUp failed for volume "s" : secret "tardy" not found'
    assert ("FailedMount", text) in await node.events("mount")
    await node.client.create(
        "secrets", {"metadata": {"name": "tardy", "namespace": "default"}, "stringData": {"k": "v"}}
    )
    pod = await node.wait("mount", is_ready, 5)
    assert await node.exec(pod, "cat", "/s/k") == "v"
    await node.delete("mount")


async def test_run_as_non_root_is_verified(node: Node) -> None:
    context = {"securityContext": {"runAsNonRoot": True}}
    await node.create(make_pod("root", "sleep", "1", container=context))
    await node.create(make_pod("named", "sleep", "1", container={**context, "image": NON_ROOT}))
    pod = await node.wait(
        "root", lambda pod: state(pod).get("waiting", {}).get("reason") == "CreateContainerConfigError"
    )
    uid = pod["metadata"]["uid"]
    text = f'container has runAsNonRoot and image will run as root (pod: "root_default({uid})", container: app)'
    assert state(pod)["waiting"]["message"] == text
    pod = await node.wait(
        "named", lambda pod: state(pod).get("waiting", {}).get("reason") == "CreateContainerConfigError"
    )
    assert "image has non-numeric user (app), cannot verify user is non-root" in state(pod)["waiting"]["message"]
    await node.delete("root")
    await node.delete("named")


async def test_a_liveness_failure_restarts_the_container(node: Node) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 2}
    pod = make_pod(
        "live", "sh", "-c", "touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 3600", container={"livenessProbe": probe}
    )
    await node.create(pod)
    pod = await node.wait("live", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
    events = await node.events("live")
    assert ("Killing", "Container app failed liveness probe, will be restarted") in events
    assert any(reason == "Unhealthy" and text.startswith("Liveness probe failed: ") for reason, text in events)
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    await node.delete("live")


async def test_a_probe_that_takes_too_long(node: Node) -> None:
    probe = {"exec": {"command": ["sleep", "30"]}, "periodSeconds": 1, "timeoutSeconds": 1}
    await node.create(make_pod("tardy", "sleep", "3600", container={"readinessProbe": probe}))
    await node.wait("tardy", lambda pod: "running" in state(pod))
    text = 'Readiness probe failed: command timed out: "sleep 30" timed out after 1s'
    deadline = clock.monotonic() + 20
    while ("Unhealthy", text) not in await node.events("tardy"):
        assert clock.monotonic() < deadline
        await clock.sleep(0.2)
    await node.delete("tardy")


async def test_readiness_follows_the_probe_and_startup_holds_it_back(node: Node) -> None:
    container = {
        "startupProbe": {
            "exec": {"command": ["test", "-e", "/tmp/started"]},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
        "readinessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1},
        "ports": [{"containerPort": 8080, "name": "web"}],
    }
    script = "sleep 1; touch /tmp/started; echo hello > /www/index.html; httpd -f -p 8080 -h /www"
    await node.create(make_pod("ready", "sh", "-c", script, container=container))
    pod = await node.wait("ready", lambda pod: "running" in state(pod))
    assert pod["status"]["containerStatuses"][0]["started"] is False
    pod = await node.wait("ready", is_ready)
    assert pod["status"]["containerStatuses"][0]["started"] is True
    await node.exec(pod, "rm", "/www/index.html")
    pod = await node.wait("ready", lambda pod: not is_ready(pod))
    conditions = {c["type"]: c for c in pod["status"]["conditions"]}
    assert conditions["Ready"]["reason"] == "ContainersNotReady"
    assert conditions["Ready"]["message"] == "containers with unready status: [app]"
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404") in await node.events("ready")
    await node.delete("ready")


async def test_a_readiness_gate_holds_the_pod(node: Node) -> None:
    await node.create(make_pod("gate", "sleep", "3600", readinessGates=[{"conditionType": "example.com/ok"}]))
    pod = await node.wait("gate", lambda pod: "running" in state(pod))
    pod = await node.wait(
        "gate", lambda pod: any(c.get("reason") == "ReadinessGatesNotReady" for c in pod["status"]["conditions"])
    )
    condition = {"type": "example.com/ok", "status": "True"}
    await node.client.patch(
        "pods", "gate", {"status": {"conditions": [condition]}}, "default", type="strategic", subresource="status"
    )
    pod = await node.wait("gate", is_ready)
    assert any(c["type"] == "example.com/ok" for c in pod["status"]["conditions"])
    await node.delete("gate")


async def test_post_start_runs_before_ready_and_pre_stop_before_the_end(node: Node) -> None:
    host = node.options.root_dir.parent / "hooks"
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo start >> /data/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stop >> /data/log"]}},
    }
    pod = make_pod("hooks", "sleep", "3600", container={"lifecycle": lifecycle}, terminationGracePeriodSeconds=3,
                   volumes=[{"name": "d", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}}])  # fmt: skip
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "d", "mountPath": "/data"}]
    await node.create(pod)
    await node.wait("hooks", lambda pod: "running" in state(pod))
    assert (host / "log").read_text().split() == ["start"], "it runs only when the hook is done"
    await node.wait("hooks", is_ready)
    await node.delete("hooks")
    assert (host / "log").read_text().split() == ["start", "stop"]


async def test_the_grace_period_is_a_deadline_and_not_a_delay(node: Node) -> None:
    quick = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
    await node.create(make_pod("quick", "sh", "-c", quick, terminationGracePeriodSeconds=20))
    await node.create(
        make_pod(
            "stubborn", "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=3
        )
    )
    await node.wait("quick", is_ready)
    await node.wait("stubborn", is_ready)
    began = clock.monotonic()
    await node.delete("quick")
    assert clock.monotonic() - began < 2
    began = clock.monotonic()
    await node.delete("stubborn")
    assert 2.5 < clock.monotonic() - began < 5


async def test_a_shorter_grace_period_overtakes_a_longer_one(node: Node) -> None:
    await node.create(
        make_pod(
            "overtake", "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=60
        )
    )
    await node.wait("overtake", is_ready)
    await node.client.delete("pods", "overtake", "default")
    await clock.sleep(0.5)
    began = clock.monotonic()
    await node.delete("overtake", grace=1)
    assert clock.monotonic() - began < 5


async def test_the_signal_that_stops_may_be_another(node: Node) -> None:
    script = "trap 'exit 7' USR1; trap 'exit 8' TERM; while true; do sleep 0.05; done"
    lifecycle = {"stopSignal": "SIGUSR1"}
    pod = make_pod("signal", "sh", "-c", script, container={"lifecycle": lifecycle}, os={"name": "linux"})
    pod["metadata"]["finalizers"] = ["example.com/look"]
    await node.create(pod)
    pod = await node.wait("signal", is_ready)
    assert pod["status"]["containerStatuses"][0]["stopSignal"] == "SIGUSR1"
    await node.client.delete("pods", "signal", "default")
    pod = await node.wait("signal", lambda pod: "terminated" in state(pod))
    assert state(pod)["terminated"]["exitCode"] == 7
    await node.client.patch("pods", "signal", {"metadata": {"finalizers": None}}, "default")
    await node.delete("signal")


async def test_termination_messages(node: Node) -> None:
    await node.create(make_pod("message", "sh", "-c", "echo -n bye > /dev/termination-log", restartPolicy="Never"))
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    await node.create(
        make_pod("fallback", "sh", "-c", "echo from the log; exit 1", restartPolicy="Never", container=container)
    )
    pod = await node.wait("message", lambda pod: "terminated" in state(pod))
    assert state(pod)["terminated"]["message"] == "bye"
    pod = await node.wait("fallback", lambda pod: "terminated" in state(pod))
    assert state(pod)["terminated"]["message"] == "from the log\n"
    await node.delete("message")
    await node.delete("fallback")


async def test_an_out_of_memory_kill_is_named(node: Node) -> None:
    container = {"resources": {"limits": {"memory": "16Mi"}}}
    await node.create(
        make_pod("oom", "sh", "-c", "head -c 64m /dev/zero | tail", restartPolicy="Never", container=container)
    )
    pod = await node.wait("oom", lambda pod: "terminated" in state(pod))
    assert state(pod)["terminated"]["reason"] == "OOMKilled"
    await node.delete("oom")


async def test_an_active_deadline_ends_the_pod(node: Node) -> None:
    await node.create(make_pod("deadline", "sleep", "3600", activeDeadlineSeconds=1))
    pod = await node.wait("deadline", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    await node.delete("deadline")


async def test_a_pod_that_does_not_fit_is_rejected(node: Node) -> None:
    container = {"resources": {"requests": {"cpu": "1000"}}}
    await node.create(make_pod("toobig", "sleep", "1", container=container))
    pod = await node.wait("toobig", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    assert pod["status"]["message"].startswith(
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000"
    )
    await node.delete("toobig")


async def test_a_critical_pod_makes_room_for_itself(node: Node) -> None:
    allocatable = (await node.client.get("nodes", "node-1"))["status"]["allocatable"]
    half = {"resources": {"requests": {"cpu": f"{int(allocatable['cpu']) * 600}m"}}}
    await node.create(make_pod("plain", "sleep", "3600", container=half))
    await node.wait("plain", is_ready)
    await node.create(make_pod("critical", "sleep", "3600", container=half, priorityClassName="system-node-critical"))
    await node.wait("critical", is_ready)
    pod = await node.wait("plain", lambda pod: pod["status"].get("phase") == "Failed")
    text = "Preempted in order to admit critical pod"
    assert (pod["status"]["reason"], pod["status"]["message"]) == ("Preempting", text)
    disruption = meta.get_condition(pod, "DisruptionTarget")
    assert disruption and disruption["reason"] == "TerminationByKubelet"
    assert disruption["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
    assert ("Preempting", text) in await node.events("plain")
    for name in ("plain", "critical"):
        await node.delete(name)


async def test_a_label_that_the_scheduler_saw_first_counts(node: Node) -> None:
    """The kubelet looks at its own object every ten seconds; a pod may be there for a label set just now."""
    [name] = [meta.name(found) for found in (await node.client.list("nodes")).items]
    await node.client.patch("nodes", name, {"metadata": {"labels": {"disk": "ssd"}}})
    await node.create(make_pod("labelled", "sleep", "3600", nodeSelector={"disk": "ssd"}))
    await node.wait("labelled", is_ready)
    await node.create(make_pod("elsewhere", "sleep", "3600", nodeSelector={"disk": "tape"}))
    pod = await node.wait("elsewhere", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "NodeAffinity" and "containerStatuses" not in pod["status"]
    await node.delete("elsewhere")
    await node.delete("labelled")


async def test_an_ephemeral_container_joins_a_running_pod(node: Node) -> None:
    await node.create(make_pod("debug", "sleep", "3600"))
    await node.wait("debug", is_ready)
    extra = {"name": "shell", "image": BUSYBOX, "command": ["sh", "-c", "ps; sleep 3600"], "targetContainerName": "app"}
    patch = {"spec": {"ephemeralContainers": [extra]}}
    await node.client.patch("pods", "debug", patch, "default", type="strategic", subresource="ephemeralcontainers")
    pod = await node.wait(
        "debug", lambda pod: pod["status"].get("ephemeralContainerStatuses", [{}])[0].get("state", {}).get("running")
    )
    assert is_ready(pod)
    await node.delete("debug")


async def test_a_changed_image_replaces_the_container(node: Node) -> None:
    await node.create(make_pod("image", "sleep", "3600"))
    await node.wait("image", is_ready)
    patch = {"spec": {"containers": [{"name": "app", "image": NON_ROOT}]}}
    await node.client.patch("pods", "image", patch, "default", type="strategic")
    pod = await node.wait(
        "image", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    assert ("Killing", "Container app definition changed, will be restarted") in await node.events("image")
    assert pod["status"]["containerStatuses"][0]["image"] == NON_ROOT
    await node.delete("image")


async def test_a_failing_post_start_hook_kills_the_container(node: Node) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo oops; exit 5"]}}}
    await node.create(make_pod("badhook", "sleep", "3600", container={"lifecycle": hook}))
    pod = await node.wait("badhook", lambda pod: "lastState" in str(pod["status"]) and restarts(pod) >= 1)
    events = await node.events("badhook")
    assert ("FailedPostStartHook", "PostStartHook failed") in events
    assert ("Killing", "FailedPostStartHook") in events
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    await node.delete("badhook")


async def test_hooks_over_http_and_sleeping_hooks(node: Node) -> None:
    await node.create(make_pod("hookserver", "sh", "-c", "httpd -f -vv -p 8080 -h /www"))
    server = await node.wait("hookserver", is_ready)
    get = {"httpGet": {"host": server["status"]["podIP"], "port": 8080, "path": "/hello"}}
    lifecycle = {"postStart": get, "preStop": {"sleep": {"seconds": 1}}}
    await node.create(
        make_pod("hooked", "sleep", "3600", container={"lifecycle": lifecycle}, terminationGracePeriodSeconds=3)
    )
    await node.wait("hooked", is_ready)
    began = clock.monotonic()
    await node.delete("hooked")
    assert 1.0 < clock.monotonic() - began < 4.5
    worker = node.kubelet.worker_of("default", "hookserver")
    assert worker is not None
    container = worker.view.latest("app")
    assert container is not None and "/hello" in Path(container.log_path).read_text()
    await node.delete("hookserver")


async def test_tcp_and_failing_startup_probes(node: Node) -> None:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    await node.create(
        make_pod(
            "tcp",
            "sh",
            "-c",
            "httpd -f -p 8080 -h /www",
            container={"readinessProbe": {**probe, "failureThreshold": 9}},
        )
    )
    await node.wait("tcp", is_ready)
    await node.delete("tcp")
    await node.create(make_pod("startup", "sleep", "3600", container={"startupProbe": probe}))
    await node.wait("startup", lambda pod: restarts(pod) == 1)
    events = await node.events("startup")
    assert ("Killing", "Container app failed startup probe, will be restarted") in events
    assert any(text.endswith(":8080: connect: connection refused") for reason, text in events if reason == "Unhealthy")
    await node.delete("startup")


async def test_the_probes_own_grace_period_wins(node: Node) -> None:
    probe = {
        "exec": {"command": ["false"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    }
    stubborn = "trap '' TERM; while true; do sleep 0.1; done"
    await node.create(
        make_pod(
            "probegrace", "sh", "-c", stubborn, container={"livenessProbe": probe}, terminationGracePeriodSeconds=60
        )
    )
    await node.wait("probegrace", lambda pod: restarts(pod) == 1, 10)
    await node.delete("probegrace", grace=1)


def restarts(pod: dict) -> int:
    return pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0)

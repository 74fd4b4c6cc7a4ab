"""What a container finds around it: variables, volumes, users, names, limits."""

import pytest

from pynetes.machinery import clock
from pynetes.machinery.meta import Obj
from pynetes.testing.node import BUSYBOX, Node, is_ready, make_pod, state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def run(node: Node, pod: Obj) -> Obj:
    await node.create(pod)
    return await node.wait(pod["metadata"]["name"], is_ready)


def mounted(pod: Obj, *mounts: Obj) -> Obj:
    pod["spec"]["containers"][0]["volumeMounts"] = list(mounts)
    return pod


async def until(node: Node, pod: Obj, command: str, expected: str, seconds: float = 5) -> None:
    deadline = clock.monotonic() + seconds
    while (found := await node.exec(pod, "sh", "-c", command)) != expected:
        assert clock.monotonic() < deadline, found
        await clock.sleep(0.1)


async def test_the_environment(node: Node) -> None:
    await node.client.create("configmaps", {"metadata": {"name": "env", "namespace": "default"}, "data": {"one": "1"}})
    service = {"metadata": {"name": "my-svc", "namespace": "default"}, "spec": {"ports": [{"port": 80, "name": "web"}]}}
    service = await node.client.create("services", service)
    await clock.sleep(0.2)
    env = [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)-$(one)-$$(A)-$(NOPE)"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": True}}},
    ]
    container = {
        "env": env,
        "envFrom": [{"configMapRef": {"name": "env"}}, {"prefix": "P_", "configMapRef": {"name": "env"}}],
        "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}},
    }
    pod = await run(node, make_pod("env", "sleep", "3600", container=container, metadata={"labels": {"app": "x"}}))
    lines = (await node.exec(pod, "env")).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert found["B"] == "a-1-$(A)-$(NOPE)"
    assert found["NAME"] == "env" and found["IP"] == pod["status"]["podIP"] and found["LABEL"] == "x"
    assert found["CPU"] == "250" and found["MEM"] == "64"
    assert found["one"] == "1" and found["P_one"] == "1"
    assert "OPT" not in found
    address = service["spec"]["clusterIP"]
    assert found["MY_SVC_SERVICE_HOST"] == address and found["MY_SVC_SERVICE_PORT_WEB"] == "80"
    assert found["MY_SVC_PORT_80_TCP"] == f"tcp://{address}:80"
    assert found["KUBERNETES_SERVICE_PORT"] == "443"
    await node.delete("env")


async def test_a_config_map_volume_changes_all_at_once(node: Node) -> None:
    config_map = {"metadata": {"name": "files", "namespace": "default"}, "data": {"a": "1", "b": "2"}}
    await node.client.create("configmaps", config_map)
    volume = {"name": "v", "configMap": {"name": "files", "defaultMode": 0o640}}
    pod = make_pod("configmap", "sleep", "3600", volumes=[volume])
    pod = await run(node, mounted(pod, {"name": "v", "mountPath": "/v"}))
    assert await node.exec(pod, "sh", "-c", "cat /v/a /v/b; stat -L -c %a /v/a") == "12640\n"
    assert (await node.exec(pod, "readlink", "/v/a")).strip() == "..data/a"
    await node.client.patch("configmaps", "files", {"data": {"a": "new", "b": None, "c": "3"}}, "default")
    await until(node, pod, "cat /v/a /v/c; test -e /v/b || echo gone", "new3gone\n")
    await node.delete("configmap")


async def test_a_projected_volume_with_everything(node: Node) -> None:
    await node.client.create(
        "secrets", {"metadata": {"name": "s", "namespace": "default"}, "stringData": {"k": "secret"}}
    )
    sources = [
        {"secret": {"name": "s", "items": [{"key": "k", "path": "deep/er/k", "mode": 0o400}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "me"}},
    ]
    pod = make_pod("projected", "sleep", "3600", volumes=[{"name": "v", "projected": {"sources": sources}}])
    pod["metadata"]["labels"] = {"a": "1", "b": 'quo"te'.replace('"', "")}
    pod = await run(node, mounted(pod, {"name": "v", "mountPath": "/v"}))
    assert await node.exec(pod, "sh", "-c", "cat /v/deep/er/k; stat -L -c %a /v/deep/er/k") == "secret400\n"
    assert await node.exec(pod, "cat", "/v/labels") == 'a="1"\nb="quote"'
    token = await node.exec(pod, "cat", "/v/token")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["me"]},
    }
    answer = await node.client.create("tokenreviews.authentication.k8s.io", review)
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:default"
    await node.client.patch("pods", "projected", {"metadata": {"labels": {"a": "2"}}}, "default")
    await until(node, pod, "cat /v/labels", 'a="2"\nb="quote"')
    assert "tmpfs" in await node.exec(pod, "sh", "-c", "mount | grep ' /v '")
    await node.delete("projected")


async def test_trust_bundles_follow_their_objects(node: Node) -> None:
    anchor = node.server.ca_file.read_text()
    source = {"clusterTrustBundle": {"signerName": "e.org/s", "labelSelector": {}, "path": "ca", "optional": True}}
    volume = {"name": "v", "projected": {"sources": [source]}}
    pod = await run(
        node, mounted(make_pod("trusts", "sleep", "3600", volumes=[volume]), {"name": "v", "mountPath": "/v"})
    )
    assert await node.exec(pod, "cat", "/v/ca") == ""
    bundle = {"metadata": {"name": "e.org:s:1"}, "spec": {"signerName": "e.org/s", "trustBundle": anchor}}
    await node.client.create("clustertrustbundles.certificates.k8s.io", bundle)
    await until(node, pod, "cat /v/ca", anchor)
    await node.delete("trusts")


async def test_empty_directories_and_fs_group(node: Node) -> None:
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "unlimited", "emptyDir": {"medium": "Memory"}},
    ]
    context = {"fsGroup": 4321, "runAsUser": 1000, "supplementalGroups": [77]}
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    pod = make_pod("empty", "sleep", "3600", volumes=volumes, securityContext=context, container=limits)
    pod = mounted(pod, *({"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes))
    pod = await run(node, pod)
    assert await node.exec(pod, "stat", "-c", "%a %g", "/disk") == "2777 4321\n"
    assert await node.exec(pod, "stat", "-c", "%a %g", "/memory") == "3777 4321\n"
    assert "tmpfs" in await node.exec(pod, "sh", "-c", "mount | grep ' /memory '")
    assert "size=1024k" in await node.exec(pod, "sh", "-c", "mount | grep ' /memory '")
    assert "size=65536k" in await node.exec(pod, "sh", "-c", "mount | grep ' /unlimited '")
    assert (await node.exec(pod, "id", "-u")).strip() == "1000"
    assert {"4321", "77"} <= set((await node.exec(pod, "id", "-G")).split())
    await node.delete("empty")


async def test_sub_paths(node: Node) -> None:
    container = {"env": [{"name": "NAME", "value": "made"}]}
    pod = make_pod("subpath", "sleep", "3600", container=container, volumes=[{"name": "d", "emptyDir": {}}])
    pod = mounted(
        pod,
        {"name": "d", "mountPath": "/whole"},
        {"name": "d", "mountPath": "/part", "subPathExpr": "sub/$(NAME)"},
    )
    pod = await run(node, pod)
    await node.exec(pod, "sh", "-c", "echo x > /part/f")
    assert await node.exec(pod, "cat", "/whole/sub/made/f") == "x\n"
    await node.delete("subpath")


async def test_the_files_of_an_image(node: Node) -> None:
    image = {"reference": BUSYBOX, "pullPolicy": "IfNotPresent"}
    nowhere = {"reference": "127.0.0.1:1/nothing:1", "pullPolicy": "Never"}
    pod = make_pod("image", "sleep", "3600", volumes=[{"name": "i", "image": image}])
    mounts = ({"name": "i", "mountPath": "/i"}, {"name": "i", "mountPath": "/part", "subPath": "bin"})
    pod = await run(node, mounted(pod, *mounts))
    listing = await node.exec(pod, "ls", "/i/bin")
    assert "busybox" in listing and await node.exec(pod, "ls", "/part") == listing
    assert "Read-only file system" in await node.exec(pod, "sh", "-c", "touch /i/x 2>&1 || true")
    await node.delete("image")
    broken = make_pod("noimage", "sleep", "1", volumes=[{"name": "i", "image": nowhere}])
    await node.create(mounted(broken, {"name": "i", "mountPath": "/i"}))
    await node.wait("noimage", lambda pod: state(pod).get("waiting", {}).get("reason") == "ErrImageNeverPull")
    await node.delete("noimage")


async def test_host_path_types(node: Node) -> None:
    volume = {"name": "h", "hostPath": {"path": "/etc/hostname", "type": "Directory"}}
    await node.create(mounted(make_pod("hostpath", "sleep", "1", volumes=[volume]), {"name": "h", "mountPath": "/h"}))
    await node.wait("hostpath", lambda pod: pod["status"].get("containerStatuses"))
    await clock.sleep(0.3)
    text = 'MountVolume.SetUp failed for volume "h" : hostPath type check failed: /etc/hostname is not a directory'
    assert ("FailedMount", text) in await node.events("hostpath")
    await node.delete("hostpath")


async def test_hosts_and_resolution(node: Node) -> None:
    pod = make_pod(
        "names", "sleep", "3600", hostname="me", subdomain="sub",
        hostAliases=[{"ip": "192.0.2.7", "hostnames": ["x.example", "y.example"]}],
        dnsConfig={"searches": ["more.example"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]},
    )  # fmt: skip
    pod = await run(node, pod)
    hosts = await node.exec(pod, "cat", "/etc/hosts")
    assert hosts.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert f"{pod['status']['podIP']}\tme.sub.default.svc.cluster.local\tme\n" in hosts
    assert "# Entries added by HostAliases.\n192.0.2.7\tx.example\ty.example\n" in hosts
    assert (await node.exec(pod, "hostname")).strip() == "me"
    resolv = await node.exec(pod, "cat", "/etc/resolv.conf")
    assert "nameserver 10.96.0.10\n" in resolv
    assert "search default.svc.cluster.local svc.cluster.local cluster.local example.org more.example\n" in resolv
    assert "options ndots:2 edns0\n" in resolv
    await node.delete("names")
    pod = await run(node, make_pod("plain", "sleep", "3600", dnsPolicy="Default"))
    assert (
        await node.exec(pod, "cat", "/etc/resolv.conf")
        == "search example.org\nnameserver 192.0.2.53\noptions timeout:1\n"
    )
    await node.delete("plain")


async def test_the_host_network(node: Node) -> None:
    pod = await run(node, make_pod("hostnet", "sleep", "3600", hostNetwork=True))
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == "127.0.0.1"
    assert (await node.exec(pod, "cat", "/etc/hosts")).startswith("# Kubernetes-managed hosts file (host network).\n")
    await node.delete("hostnet")


async def test_process_namespaces(node: Node) -> None:
    second = {"name": "second", "image": BUSYBOX, "command": ["sleep", "1234"]}
    pod = make_pod("shared", "sleep", "3600", shareProcessNamespace=True)
    pod["spec"]["containers"].append(second)
    pod = await run(node, pod)
    assert "sleep 1234" in await node.exec(pod, "ps")
    assert "/pause" in await node.exec(pod, "ps")
    await node.delete("shared")
    pod = make_pod("apart", "sleep", "3600")
    pod["spec"]["containers"].append(second)
    pod = await run(node, pod)
    assert "sleep 1234" not in await node.exec(pod, "ps")
    await node.delete("apart")


async def test_privileges(node: Node) -> None:
    context = {
        "runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    pod = await run(node, make_pod("tight", "sleep", "3600", container={"securityContext": context}))
    assert (await node.exec(pod, "id")).startswith("uid=1000(app) gid=2000")
    status = dict(
        line.split(":", 1) for line in (await node.exec(pod, "cat", "/proc/1/status")).splitlines() if ":" in line
    )
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert int(status["CapBnd"].strip(), 16) == 1 << 10
    assert "failed" in await node.exec(pod, "sh", "-c", "touch /x 2>/dev/null || echo failed")
    await node.delete("tight")
    pod = await run(node, make_pod("loose", "sleep", "3600", container={"securityContext": {"privileged": True}}))
    status = await node.exec(pod, "cat", "/proc/1/status")
    assert "Seccomp:\t0" in status
    await node.delete("loose")


async def test_sysctls(node: Node) -> None:
    context = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "1"}]}
    pod = await run(node, make_pod("sysctl", "sleep", "3600", securityContext=context))
    assert (await node.exec(pod, "sysctl", "-n", "net.ipv4.ip_unprivileged_port_start")).strip() == "1"
    await node.delete("sysctl")
    context = {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}
    await node.create(make_pod("unsafe", "sleep", "3600", securityContext=context))
    pod = await node.wait("unsafe", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "SysctlForbidden"
    await node.delete("unsafe")


async def test_limits_reach_the_cgroups(node: Node) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    pod = await run(node, make_pod("limits", "sleep", "3600", container={"resources": resources}))
    assert pod["status"]["qosClass"] == "Burstable"
    cgroups = node.kubelet.context.cgroups
    path = cgroups.pod_path(pod["metadata"]["uid"], "Burstable")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]

    def value(controller: str, where: str, name: str) -> str:
        return cgroups.file(controller, where, name).read_text().strip()

    if not cgroups.v2:
        for where in (path, f"{path}/{container_id}"):
            assert value("cpu", where, "cpu.shares") == "102"
            assert value("cpu", where, "cpu.cfs_quota_us") == "50000"
            assert value("memory", where, "memory.limit_in_bytes") == str(64 << 20)
    await node.delete("limits")
    assert not cgroups.file("memory", path, "").exists()


async def test_volumes_of_which_nothing_is_known(node: Node) -> None:
    claim = {"name": "c", "persistentVolumeClaim": {"claimName": "nope"}}
    await node.create(mounted(make_pod("claims", "sleep", "1", volumes=[claim]), {"name": "c", "mountPath": "/c"}))
    text = (
        "Unable to attach or mount volumes: unmounted volumes=[c], unattached volumes=[], failed to process "
        "volumes=[c]: error processing PVC default/nope: failed to fetch PVC from API server: "
        'persistentvolumeclaims "nope" not found'
    )
    deadline = clock.monotonic() + 10
    while ("FailedMount", text) not in await node.events("claims"):
        assert clock.monotonic() < deadline, await node.events("claims")
        await clock.sleep(0.1)
    await node.delete("claims")


async def test_resources_of_the_pod_as_a_whole(node: Node) -> None:
    level = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    pod = await run(node, make_pod("level", "sleep", "3600", resources=level))
    assert pod["status"]["resources"] == level and pod["status"]["allocatedResources"] == level["requests"]
    assert pod["status"]["qosClass"] == "Burstable"
    cgroups = node.kubelet.context.cgroups
    path = cgroups.pod_path(pod["metadata"]["uid"], "Burstable")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    if not cgroups.v2:
        for where in (path, f"{path}/{container_id}"):
            assert cgroups.file("cpu", where, "cpu.cfs_quota_us").read_text().strip() == "20000"
            assert cgroups.file("memory", where, "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
    await node.delete("level")


async def test_host_ports(node: Node) -> None:
    container = {"ports": [{"containerPort": 8080, "hostPort": 18080}]}
    script = "echo hello > /www/index.html; httpd -f -p 8080 -h /www"
    pod = await run(node, make_pod("hostport", "sh", "-c", script, container=container))
    client = await run(node, make_pod("asker", "sleep", "3600"))
    assert await node.exec(client, "wget", "-q", "-O", "-", "http://10.99.0.1:18080/") == "hello\n"
    await node.delete("hostport")
    await node.delete("asker")
    assert pod


async def test_what_the_runtime_cannot_do_is_refused(node: Node) -> None:
    """containerd tells what its handlers can do from 2.0 on; the older one can do neither."""
    mount = {"name": "d", "mountPath": "/d", "readOnly": True}
    volumes = [{"name": "d", "emptyDir": {}}]
    possible = make_pod("possible", "sleep", "3600", volumes=volumes)
    possible = await run(node, mounted(possible, {**mount, "recursiveReadOnly": "IfPossible"}))
    assert possible["status"]["containerStatuses"][0]["volumeMounts"][0]["recursiveReadOnly"] == "Disabled"
    needed = make_pod("needed", "sleep", "3600", volumes=volumes)
    await node.create(mounted(needed, {**mount, "recursiveReadOnly": "Enabled"}))
    needed = await node.wait("needed", lambda p: state(p).get("waiting", {}).get("message"))
    assert state(needed)["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'failed to resolve recursive read-only mode: volume "d" requested recursive read-only mode, '
        "but it is not supported by the runtime",
    }
    await node.create(make_pod("mapped", "sleep", "3600", hostUsers=False))
    await node.wait("mapped", lambda p: p["status"].get("containerStatuses"))
    text = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
    deadline = clock.monotonic() + 10
    while ("FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}") not in await node.events("mapped"):
        assert clock.monotonic() < deadline
        await clock.sleep(0.1)
    for name in ("possible", "needed", "mapped"):
        await node.delete(name)


async def test_volumes_of_drivers_that_are_not_there(node: Node) -> None:
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume |= {"csi": {"driver": "far.example.com", "volumeHandle": "h"}}
    volume |= {"claimRef": {"namespace": "default", "name": "far"}}
    await node.client.create("persistentvolumes", {"metadata": {"name": "far-1"}, "spec": volume})
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    claim = {"metadata": {"name": "far"}, "spec": {**wanted, "volumeName": "far-1"}}
    await node.client.create("persistentvolumeclaims", claim, "default")
    bound = {"status": {"phase": "Bound"}}
    await node.client.patch("persistentvolumeclaims", "far", bound, "default", subresource="status")
    await node.client.create(
        "csidrivers.storage.k8s.io",
        {"metadata": {"name": "near.example.com"}, "spec": {"volumeLifecycleModes": ["Ephemeral"]}},
    )
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "far"}},
        {"name": "b", "csi": {"driver": "nobody.example.com"}},
        {"name": "c", "csi": {"driver": "near.example.com"}},
        {"name": "d", "projected": {"sources": [{"secret": {"name": "no"}}, {"configMap": {"name": "none"}}]}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    await node.create(mounted(make_pod("drivers", "sleep", "1", volumes=volumes), *mounts))
    missing = "not found in the list of registered CSI drivers"
    told = {
        'MountVolume.MountDevice failed for volume "far-1" : kubernetes.io/csi: attacher.MountDevice failed to create '
        f"newCsiDriverClient: driver name far.example.com {missing}",
        'MountVolume.NewMounter initialization failed for volume "b" : volume mode "Ephemeral" not supported by '
        "driver nobody.example.com (no CSIDriver object)",
        'MountVolume.SetUp failed for volume "c" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
        f"driver name near.example.com {missing}",
        'MountVolume.SetUp failed for volume "d" : [secret "no" not found, configmap "none" not found]',
    }
    deadline = clock.monotonic() + 10
    while not {("FailedMount", text) for text in told} <= set(await node.events("drivers")):
        assert clock.monotonic() < deadline, await node.events("drivers")
        await clock.sleep(0.1)
    await node.delete("drivers")

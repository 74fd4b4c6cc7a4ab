"""What users do with kubectl, verb by verb, through every kubectl found: the newest and the oldest must both work."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import BUSYBOX, Cluster, Failed, container, eventually, pod

WEB = "mkdir -p /tmp/www; echo hello >/tmp/www/index.html; echo listening; exec httpd -f -p 8080 -h /tmp/www"


@pytest.fixture
def k(any_kubectl: Cluster) -> Cluster:
    return any_kubectl


def minor(k: Cluster) -> int:
    return int(json.loads(k.kubectl("version", "--client", "-o", "json"))["clientVersion"]["minor"].rstrip("+"))


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(name: str, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A Deployment whose pods say where they stop waiting: they end at once."""
    template = pod(name, container(command="exec sleep 3600"))
    metadata = {"labels": template["metadata"]["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": metadata["labels"]},
            "template": {"metadata": metadata, "spec": template["spec"]},
            **spec,
        },
    }


def start(k: Cluster, obj: dict[str, Any]) -> str:
    """Apply a pod and wait until it is ready; returns its name."""
    k.apply(obj)
    k.wait("condition=Ready", f"pod/{obj['metadata']['name']}")
    return str(obj["metadata"]["name"])


@contextlib.contextmanager
def background(k: Cluster, *arguments: str, **more: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A kubectl that runs until the block ends."""
    process = k.popen(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[bytes]", wanted: str, seconds: float = 15) -> str:
    """What a background kubectl prints, up to and with `wanted`."""
    assert process.stdout is not None
    return _read_until(process.stdout.fileno(), wanted, seconds)


def _read_until(descriptor: int, wanted: str, seconds: float) -> str:
    seen, deadline = "", time.monotonic() + seconds
    while wanted not in seen:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(descriptor, 65536) if readable else b""
        except OSError:  # a terminal whose other side is closed
            data = b""
        if not data:
            raise Failed(f"{wanted!r} did not come; got: {seen!r}")
        seen += data.decode(errors="replace")
    return seen


class Terminal:
    """A kubectl on a terminal of its own."""

    def __init__(self, k: Cluster, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.master, terminal = pty.openpty()
        self._set_size(rows, columns)
        self.process = k.popen(*arguments, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
        os.close(terminal)

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self._set_size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, wanted: str, seconds: float = 15) -> str:
        return _read_until(self.master, wanted, seconds)

    def close(self) -> int:
        try:
            return self.process.wait(timeout=10)
        finally:
            self.process.kill()
            os.close(self.master)


# -- the cluster and its API ----------------------------------------------------------------------------------------


def test_version_names_client_and_server(k: Cluster) -> None:
    versions = json.loads(k.kubectl("version", "-o", "json"))
    assert versions["serverVersion"]["major"] == "1"
    assert versions["serverVersion"]["minor"] == "37"
    assert versions["serverVersion"]["gitVersion"].startswith("v1.37.")


def test_cluster_info_finds_the_control_plane_and_dns(k: Cluster) -> None:
    text = eventually(lambda: "CoreDNS" in (found := k.kubectl("cluster-info", "-n", "kube-system")) and found)
    assert "is running at" in text
    assert "/api/v1/namespaces/kube-system/services/kube-dns:dns/proxy" in text


def test_api_resources_and_versions(k: Cluster) -> None:
    names = k.kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"} <= set(names)
    assert "bindings" in names
    listed = k.kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    assert "nodes" in listed
    assert "pods" not in listed
    assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"} <= set(k.kubectl("api-versions").split())


def test_explain_reads_the_published_schema(k: Cluster) -> None:
    text = k.kubectl("explain", "pod.spec.containers.livenessProbe.httpGet.port")
    assert "Name or number of the port to access on the container" in text
    assert "restartPolicy" in k.kubectl("explain", "pods", "--recursive")
    assert "maxUnavailable" in k.kubectl("explain", "deployments.spec.strategy.rollingUpdate")
    assert "does not exist" in k.kubectl("explain", "pod.spec.nonsense", ok=False)


def test_auth_can_i_answers_from_rbac(k: Cluster) -> None:
    assert k.kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert k.kubectl("auth", "can-i", "create", "pods", "--as=someone", ok=False).splitlines()[0] == "no"
    k.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    k.kubectl("create", "rolebinding", "reads", "--role=reader", "--user=someone")
    eventually(lambda: k.kubectl("auth", "can-i", "list", "pods", "--as=someone", ok=False) == "yes\n", 5)
    assert k.kubectl("auth", "can-i", "delete", "pods", "--as=someone", ok=False).splitlines()[0] == "no"
    table = k.kubectl("auth", "can-i", "--list", "--as=someone")
    assert "pods/log" in table
    assert "[get list]" in table
    denied = k.kubectl("delete", "pod", "x", "--as=someone", ok=False)
    assert denied == (
        'Error from server (Forbidden): pods "x" is forbidden: User "someone" cannot delete resource "pods" '
        f'in API group "" in the namespace "{k.namespace}"\n'
    )


# -- reading --------------------------------------------------------------------------------------------------------


def test_get_prints_in_every_format(k: Cluster) -> None:
    k.apply(config_map("b", {"tier": "x"}, one="1", two="2"), config_map("a", {"tier": "y"}, one="1"))
    lines = k.kubectl("get", "configmaps", "-l", "tier").splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"]
    assert [line.split()[:2] for line in lines[1:]] == [["a", "1"], ["b", "2"]]
    assert k.kubectl("get", "cm", "b", "-o", "name") == "configmap/b\n"
    assert yaml.safe_load(k.kubectl("get", "cm", "b", "-o", "yaml"))["data"] == {"one": "1", "two": "2"}
    assert k.get("cm", "b")["kind"] == "ConfigMap"
    assert k.kubectl("get", "cm", "b", "-o", "jsonpath={.data.two}") == "2"
    columns = k.kubectl("get", "cm", "-l", "tier", "-o", "custom-columns=N:.metadata.name,ONE:.data.one")
    assert [line.split() for line in columns.splitlines()] == [["N", "ONE"], ["a", "1"], ["b", "1"]]
    assert k.kubectl("get", "cm", "b", "-o", 'go-template={{index .data "one"}}') == "1"
    assert "TIER" in k.kubectl("get", "cm", "-L", "tier")
    assert "tier=x" in k.kubectl("get", "cm", "b", "--show-labels")


def test_get_selects_and_sorts(k: Cluster) -> None:
    k.apply(config_map("a", {"n": "3"}), config_map("b", {"n": "1"}), config_map("c", {"n": "2"}))
    names = k.kubectl("get", "cm", "-l", "n in (1,2)", "-o", "name").split()
    assert names == ["configmap/b", "configmap/c"]
    assert k.kubectl("get", "cm", "--field-selector", "metadata.name=c", "-o", "name") == "configmap/c\n"
    ordered = k.kubectl("get", "cm", "-l", "n", "--sort-by={.metadata.labels.n}", "-o", "name").split()
    assert ordered == ["configmap/b", "configmap/c", "configmap/a"]
    assert k.namespace in k.kubectl("get", "cm", "-A", "--no-headers")
    assert "No resources found" in k.kubectl("get", "pods", ok=False)
    missing = k.kubectl("get", "pod", "none", ok=False)
    assert missing == 'Error from server (NotFound): pods "none" not found\n'


def test_get_wide_shows_where_pods_run(k: Cluster) -> None:
    start(k, pod("p"))
    header, row = k.kubectl("get", "pod", "p", "-o", "wide").splitlines()
    assert header.split(maxsplit=9) == [
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS GATES"
    ]  # fmt: skip
    name, ready, status, restarts, _, address, node = row.split()[:7]
    assert (name, ready, status, restarts, node) == ("p", "1/1", "Running", "0", "node-1")
    assert address.startswith("10.")
    assert "node-1" in k.kubectl(
        "get", "pods", "--field-selector", "status.phase=Running,spec.nodeName=node-1", "-owide"
    )


def test_get_watch_prints_changes_as_they_come(k: Cluster) -> None:
    k.apply(config_map("before"))
    with background(k, "get", "cm", "-w", "--no-headers") as watching:
        read_until(watching, "before")
        k.apply(config_map("after", one="1"))
        assert read_until(watching, "after")
        k.kubectl("delete", "cm", "after")
        assert read_until(watching, "after")


def test_describe_tells_what_a_pod_is_and_did(k: Cluster) -> None:
    start(k, pod("p", container(env=[{"name": "A", "value": "b"}], ports=[{"containerPort": 80}])))
    text = eventually(lambda: "Started" in (found := k.kubectl("describe", "pod", "p")) and found)
    for part in ("Status:", "Running", "QoS Class:", "BestEffort", "A:  b", "80/TCP", "kube-api-access-", "Ready"):
        assert part in text, part
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert reason in text.partition("Events:")[2]
    assert f"Successfully assigned {k.namespace}/p to node-1" in text


@pytest.mark.parametrize("what", ["node", "namespace", "service", "deployment", "configmap", "serviceaccount"])
def test_describe_knows_every_kind(k: Cluster, what: str) -> None:
    name = {"node": "node-1", "namespace": k.namespace, "serviceaccount": "default"}.get(what, "thing")
    if what == "deployment":
        k.apply(deployment("thing"))
    elif what == "service":
        k.kubectl("create", "service", "clusterip", "thing", "--tcp=80:8080")
    elif what == "configmap":
        k.apply(config_map("thing", one="1"))
    text = k.kubectl("describe", what, name)
    assert text.split("\n")[0].split() == ["Name:", name]


def test_events_are_listed_for_an_object(k: Cluster) -> None:
    start(k, pod("p"))
    listed = ["get", "events", "--field-selector", "involvedObject.name=p,type=Normal"]
    text = eventually(lambda: "Started" in (found := k.kubectl(*listed)) and found)
    assert text.splitlines()[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert "pod/p" in text
    if minor(k) >= 26:
        assert "Started" in k.kubectl("events", "--for", "pod/p")
        assert "No events found" in k.kubectl("events", "--for", "pod/p", "--types=Warning", ok=False)


# -- writing --------------------------------------------------------------------------------------------------------


def test_create_makes_what_is_asked_for_once(k: Cluster) -> None:
    assert k.kubectl("create", "configmap", "c", "--from-literal=a=b") == "configmap/c created\n"
    again = k.kubectl("create", "configmap", "c", "--from-literal=a=b", ok=False)
    assert 'configmaps "c" already exists' in again
    k.kubectl("create", "secret", "generic", "s", "--from-literal=password=x")
    assert k.get("secret", "s")["data"] == {"password": "eA=="}
    k.kubectl("create", "serviceaccount", "robot")
    k.kubectl("create", "quota", "q", "--hard=pods=3")
    named = yaml.safe_dump({**config_map(""), "metadata": {"generateName": "made-"}})
    assert k.kubectl("create", "-f", "-", "-o", "name", stdin=named).startswith("configmap/made-")
    dry = k.kubectl("create", "configmap", "never", "--dry-run=server", "-o", "json")
    assert json.loads(dry)["metadata"]["uid"]
    assert "NotFound" in k.kubectl("get", "cm", "never", ok=False)


def test_apply_creates_configures_and_takes_away(k: Cluster) -> None:
    def apply(obj: dict[str, Any], *flags: str) -> str:
        return k.kubectl("apply", "-f", "-", *flags, stdin=yaml.safe_dump(obj))

    assert apply(config_map("c", one="1", two="2")) == "configmap/c created\n"
    assert apply(config_map("c", one="1", two="2")) == "configmap/c unchanged\n"
    assert apply(config_map("c", one="3")) == "configmap/c configured\n"
    assert k.get("cm", "c")["data"] == {"one": "3"}
    assert apply(config_map("c", one="3"), "--dry-run=server") == "configmap/c unchanged (server dry run)\n"
    assert '"one":"3"' in k.kubectl("apply", "view-last-applied", "cm/c", "-o", "json").replace(" ", "")
    if minor(k) >= 25:  # older ones prune kinds that v1.37 no longer serves
        apply(config_map("d", {"set": "x"}))
        assert "configmap/d pruned" in apply(config_map("e", {"set": "x"}), "--prune", "-l", "set=x")


def test_server_side_apply_owns_fields_and_sees_conflicts(k: Cluster) -> None:
    def apply(replicas: int, manager: str, *flags: str, ok: bool = True) -> str:
        manifest = yaml.safe_dump(deployment("d", replicas))
        flags = ("--server-side", f"--field-manager={manager}", *flags)
        return k.kubectl("apply", "-f", "-", *flags, stdin=manifest, ok=ok)

    assert apply(0, "one") == "deployment.apps/d serverside-applied\n"
    refused = apply(1, "two", ok=False)
    assert 'conflict with "one"' in refused
    assert ".spec.replicas" in refused
    apply(1, "two", "--force-conflicts")
    assert k.get("deployment", "d")["spec"]["replicas"] == 1
    assert apply(1, "one") == "deployment.apps/d serverside-applied\n"


def test_replace_needs_the_object_and_its_revision(k: Cluster) -> None:
    k.apply(config_map("c", one="1"))
    current = k.get("cm", "c")
    current["data"] = {"one": "2"}
    assert k.kubectl("replace", "-f", "-", stdin=json.dumps(current)) == "configmap/c replaced\n"
    stale = k.kubectl("replace", "-f", "-", stdin=json.dumps(current), ok=False)
    assert "the object has been modified; please apply your changes to the latest version and try again" in stale
    assert "NotFound" in k.kubectl("replace", "-f", "-", stdin=json.dumps(config_map("none")), ok=False)
    before = k.get("cm", "c")["metadata"]["uid"]
    k.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(config_map("c", one="3")))
    assert k.get("cm", "c")["metadata"]["uid"] != before


def test_edit_sends_what_the_editor_left(k: Cluster, tmp_path: Path) -> None:
    k.apply(config_map("c", one="before"))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/before/after/ "$1"\n')
    editor.chmod(0o755)
    k.environment = {**k.environment, "EDITOR": str(editor)}
    assert k.kubectl("edit", "cm", "c") == "configmap/c edited\n"
    assert k.get("cm", "c")["data"] == {"one": "after"}
    assert "cancelled, no changes made" in k.kubectl("edit", "cm", "c", ok=False)


def test_patch_in_all_three_ways(k: Cluster) -> None:
    k.apply(deployment("d", 0))
    containers = {"spec": {"template": {"spec": {"containers": [{"name": "second", "image": BUSYBOX}]}}}}
    assert k.kubectl("patch", "deployment", "d", "-p", json.dumps(containers)) == "deployment.apps/d patched\n"
    names = [c["name"] for c in k.get("deployment", "d")["spec"]["template"]["spec"]["containers"]]
    assert names == ["second", "c"]
    k.kubectl("patch", "deployment", "d", "--type=merge", "-p", json.dumps(containers))
    assert len(k.get("deployment", "d")["spec"]["template"]["spec"]["containers"]) == 1
    operations = [{"op": "replace", "path": "/spec/revisionHistoryLimit", "value": 3}]
    k.kubectl("patch", "deployment", "d", "--type=json", "-p", json.dumps(operations))
    assert k.get("deployment", "d")["spec"]["revisionHistoryLimit"] == 3
    assert "(no change)" in k.kubectl("patch", "deployment", "d", "--type=json", "-p", json.dumps(operations))
    bad = [{"op": "test", "path": "/spec/replicas", "value": 7}]
    assert "The request is invalid" in k.kubectl(
        "patch", "deployment", "d", "--type=json", "-p", json.dumps(bad), ok=False
    )


def test_label_and_annotate(k: Cluster) -> None:
    k.apply(config_map("c"))
    assert k.kubectl("label", "cm", "c", "tier=front") == "configmap/c labeled\n"
    assert "--overwrite is false" in k.kubectl("label", "cm", "c", "tier=back", ok=False)
    k.kubectl("label", "cm", "c", "tier=back", "--overwrite")
    k.kubectl("annotate", "cm", "c", "note=some text")
    metadata = k.get("cm", "c")["metadata"]
    assert metadata["labels"] == {"tier": "back"}
    assert metadata["annotations"]["note"] == "some text"
    k.kubectl("label", "cm", "c", "tier-")
    assert "labels" not in k.get("cm", "c")["metadata"]
    assert "alphanumeric characters" in k.kubectl("label", "cm", "c", "Bad_/x=y", ok=False)


def test_delete_by_name_label_and_all(k: Cluster) -> None:
    k.apply(*(config_map(name, {"set": name[0]}) for name in ("a1", "a2", "b1", "c1")))
    assert k.kubectl("delete", "cm", "c1").startswith('configmap "c1" deleted')
    k.kubectl("delete", "cm", "-l", "set=a")
    assert k.kubectl("get", "cm", "-l", "set", "-o", "name") == "configmap/b1\n"
    k.kubectl("delete", "cm", "--all")
    assert k.kubectl("get", "cm", "-l", "set", "-o", "name") == ""
    assert "NotFound" in k.kubectl("delete", "cm", "c1", ok=False)
    assert k.kubectl("delete", "cm", "c1", "--ignore-not-found") == ""
    start(k, pod("p", terminationGracePeriodSeconds=30))
    began = time.monotonic()
    k.kubectl("delete", "pod", "p", "--now")
    assert time.monotonic() - began < 8
    assert "NotFound" in k.kubectl("get", "pod", "p", ok=False)


def test_deleting_without_grace_removes_a_pod_at_once(k: Cluster) -> None:
    start(
        k, pod("p", container(command="trap '' TERM; sleep 3600 & wait; sleep 3600"), terminationGracePeriodSeconds=600)
    )
    assert "force deleted" in k.kubectl("delete", "pod", "p", "--force", "--grace-period=0", ok=False)
    assert "NotFound" in k.kubectl("get", "pod", "p", ok=False)


def test_diff_shows_what_apply_would_change(k: Cluster) -> None:
    k.apply(config_map("c", one="1"))
    manifest = json.dumps(config_map("c", one="1"))
    assert k.kubectl("diff", "-f", "-", stdin=manifest) == ""
    changed = k.kubectl("diff", "-f", "-", stdin=json.dumps(config_map("c", one="2")), ok=False)
    assert '-  one: "1"' in changed
    assert '+  one: "2"' in changed
    assert k.get("cm", "c")["data"] == {"one": "1"}


def test_wait_for_conditions_and_deletion(k: Cluster) -> None:
    k.apply(pod("p", container(command="sleep 1; touch /tmp/up; sleep 3600", readinessProbe={
        "exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1})))  # fmt: skip
    assert k.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s") == "pod/p condition met\n"
    assert "timed out waiting" in k.kubectl("wait", "--for=condition=Never", "pod/p", "--timeout=1s", ok=False)
    if minor(k) >= 23:
        k.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/p", "--timeout=10s")
    k.kubectl("delete", "pod", "p", "--grace-period=3", "--wait=false")
    k.kubectl("wait", "--for=delete", "pod/p", "--timeout=30s")
    assert "NotFound" in k.kubectl("get", "pod", "p", ok=False)


# -- in containers --------------------------------------------------------------------------------------------------


def test_logs_of_one_container_of_several(k: Cluster) -> None:
    start(k, pod("p", container("a", "echo from a; sleep 3600"), container("b", "echo from b; sleep 3600")))
    eventually(lambda: k.kubectl("logs", "p", "-c", "a") == "from a\n")
    eventually(lambda: k.kubectl("logs", "p", "-c", "b") == "from b\n")
    both = k.kubectl("logs", "-l", "app=p", "--all-containers", "--prefix")
    assert "[pod/p/a] from a" in both
    unnamed = k.kubectl("get", "--raw", f"/api/v1/namespaces/{k.namespace}/pods/p/log", ok=False)
    assert "a container name must be specified for pod p, choose one of: [a b]" in unnamed
    unknown = k.kubectl("logs", "p", "-c", "none", ok=False)
    assert "container none is not valid for pod p" in unknown


def test_logs_tail_since_and_timestamps(k: Cluster) -> None:
    start(k, pod("p", container(command="seq 1 5; sleep 3600")))
    eventually(lambda: k.kubectl("logs", "p").split() == ["1", "2", "3", "4", "5"])
    assert k.kubectl("logs", "p", "--tail=2").split() == ["4", "5"]
    assert k.kubectl("logs", "p", "--tail=0") == ""
    assert k.kubectl("logs", "p", "--since=1h").split() == ["1", "2", "3", "4", "5"]
    assert k.kubectl("logs", "p", "--limit-bytes=3") == "1\n2"
    stamp, text = k.kubectl("logs", "p", "--timestamps", "--tail=1").split()
    assert text == "5"
    assert stamp.endswith("Z") and "T" in stamp
    time.sleep(1.5)
    assert k.kubectl("logs", "p", "--since=1s") == ""


def test_logs_follow_until_the_container_ends(k: Cluster) -> None:
    k.apply(pod("p", container(command="for i in 1 2 3; do echo $i; sleep 0.5; done"), restartPolicy="Never"))
    k.kubectl("wait", "--for=condition=PodScheduled", "pod/p")
    eventually(lambda: k.kubectl("logs", "p", ok=False).startswith("1"))
    assert k.kubectl("logs", "-f", "p", timeout=20).split() == ["1", "2", "3"]


def test_logs_of_the_previous_instance(k: Cluster) -> None:
    k.apply(pod("p", container(command="echo $HOSTNAME $(cat /proc/uptime | cut -d. -f1); exit 1")))
    eventually(lambda: k.get("pod", "p")["status"]["containerStatuses"][0]["restartCount"] >= 1)
    assert k.kubectl("logs", "p", "-p").startswith("p ")
    start(k, pod("fresh"))
    assert 'previous terminated container "c" in pod "fresh" not found' in k.kubectl("logs", "fresh", "-p", ok=False)


def test_exec_runs_commands_and_returns_their_exit_code(k: Cluster) -> None:
    start(k, pod("p"))
    assert k.kubectl("exec", "p", "--", "echo", "hello") == "hello\n"
    done = k.popen("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7",
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    out, err = done.communicate(timeout=20)
    assert (done.returncode, out) == (7, b"out\n")
    assert b"err\n" in err
    assert "not found" in k.kubectl("exec", "p", "--", "no-such-command", ok=False)
    assert 'pods "none" not found' in k.kubectl("exec", "none", "--", "true", ok=False)
    assert "container" in k.kubectl("exec", "p", "-c", "none", "--", "true", ok=False)


def test_exec_passes_piped_input_whole(k: Cluster) -> None:
    start(k, pod("p"))
    text = "".join(f"{number}\n" for number in range(100_000))
    assert k.kubectl("exec", "-i", "p", "--", "cat", stdin=text) == text
    assert k.kubectl("exec", "-i", "p", "--", "wc", "-l", stdin=text).strip() == "100000"


def test_exec_on_a_terminal_follows_its_size(k: Cluster) -> None:
    start(k, pod("p"))
    terminal = Terminal(k, "exec", "-it", "p", "--", "sh", rows=31, columns=101)
    terminal.expect("#")
    eventually(lambda: terminal.type("stty size\n") or "31 101" in terminal.expect("#"), 5)
    terminal.resize(42, 123)
    eventually(lambda: terminal.type("stty size\n") or "42 123" in terminal.expect("#"), 5)
    terminal.type("tty; exit 3\n")
    terminal.expect("/dev/pts/")
    assert terminal.close() == 3


def test_attach_speaks_with_the_first_process(k: Cluster) -> None:
    talker = container(command='while read line; do echo "got $line"; done; echo over', stdin=True, stdinOnce=True)
    start(k, pod("p", talker, restartPolicy="Never"))
    text = k.kubectl("attach", "-i", "p", stdin="one\ntwo\n")
    assert "got one\ngot two\n" in text
    eventually(lambda: k.get("pod", "p")["status"]["phase"] == "Succeeded")


def test_run_rm_attaches_and_cleans_up(k: Cluster) -> None:
    text = k.kubectl("run", "once", "--rm", "-i", "--restart=Never", f"--image={BUSYBOX}", "--",
                     "sh", "-c", "read line; echo said $line", stdin="hello\n", timeout=60)  # fmt: skip
    assert "said hello" in text
    assert 'pod "once" deleted' in text
    eventually(lambda: "NotFound" in k.kubectl("get", "pod", "once", ok=False), 10)


def test_cp_both_ways(k: Cluster, tmp_path: Path) -> None:
    start(k, pod("p"))
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "file").write_bytes(os.urandom(300_000))
    k.kubectl("cp", str(tmp_path / "sent"), f"{k.namespace}/p:/tmp/there")
    k.kubectl("cp", f"{k.namespace}/p:/tmp/there/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent" / "file").read_bytes()


# -- ways in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["pod/web", "service/web"])
def test_port_forward_reaches_the_container(k: Cluster, target: str) -> None:
    start(k, pod("web", container(command=WEB, ports=[{"containerPort": 8080}])))
    k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
    port = "8080" if target.startswith("pod") else "80"
    with background(k, "port-forward", target, f":{port}") as forwarding:
        line = read_until(forwarding, "-> 8080")
        address = line.split("Forwarding from ")[1].split(" ")[0]
        for _ in range(5):
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                assert answer.read() == b"hello\n"


def test_proxy_serves_the_api_pods_and_services(k: Cluster) -> None:
    start(k, pod("web", container(command=WEB, readinessProbe={"httpGet": {"port": 8080}, "periodSeconds": 1})))
    k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
    with background(k, "proxy", "--port=0") as proxy:
        address = read_until(proxy, "\n").split()[-1]

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return bytes(answer.read())

        assert json.loads(get("/version"))["minor"] == "37"
        prefix = f"/api/v1/namespaces/{k.namespace}"
        assert get(f"{prefix}/pods/web:8080/proxy/") == b"hello\n"
        assert eventually(lambda: k.get("endpoints", "web").get("subsets"))
        assert get(f"{prefix}/services/web:80/proxy/") == b"hello\n"


def test_expose_gives_a_service_that_answers(k: Cluster) -> None:
    start(k, pod("web", container(command=WEB), labels={"app": "web"}))
    assert (
        k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080", "--name=front")
        == "service/front exposed\n"
    )
    row = k.kubectl("get", "service", "front").splitlines()[1].split()
    assert row[1] == "ClusterIP" and row[3:5] == ["<none>", "80/TCP"]
    start(k, pod("client"))
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2"
    eventually(lambda: "hello" in k.kubectl("exec", "client", "--", "sh", "-c", f"{ask} {row[2]} 80", ok=False))
    name = f"front.{k.namespace}.svc.cluster.local"
    eventually(lambda: row[2] in k.kubectl("exec", "client", "--", "nslookup", "-type=a", name))


# -- workloads ------------------------------------------------------------------------------------------------------


def test_scale_and_autoscale(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    assert k.kubectl("scale", "deployment", "d", "--replicas=3") in (
        "deployment.apps/d scaled\n", "deployment.extensions/d scaled\n")  # fmt: skip
    eventually(lambda: k.kubectl("get", "deployment", "d", "--no-headers").split()[1] == "3/3")
    refused = k.kubectl("scale", "deployment", "d", "--current-replicas=1", "--replicas=5", ok=False)
    assert "Expected replicas to be 1, was 3" in refused
    k.kubectl("scale", "rs", "-l", "app=d", "--replicas=3")
    k.kubectl("autoscale", "deployment", "d", "--max=5")
    assert k.get("hpa", "d")["spec"]["maxReplicas"] == 5


def test_a_rollout_is_followed_undone_and_restarted(k: Cluster) -> None:
    k.apply(deployment("d", 2))
    rolled = 'deployment "d" successfully rolled out'
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    k.kubectl("set", "env", "deployment/d", "VERSION=2")
    k.kubectl("annotate", "deployment", "d", "kubernetes.io/change-cause=second")
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    history = k.kubectl("rollout", "history", "deployment/d")
    assert [line.split() for line in history.splitlines()[1:] if line] == [
        ["REVISION", "CHANGE-CAUSE"], ["1", "<none>"], ["2", "second"]
    ]  # fmt: skip
    assert "VERSION:\t2" in k.kubectl("rollout", "history", "deployment/d", "--revision=2")
    assert k.kubectl("rollout", "undo", "deployment/d") == "deployment.apps/d rolled back\n"
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert "env" not in k.get("deployment", "d")["spec"]["template"]["spec"]["containers"][0]
    assert k.get("deployment", "d")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    before = {p["metadata"]["uid"] for p in k.get("pods")["items"]}
    assert k.kubectl("rollout", "restart", "deployment/d") == "deployment.apps/d restarted\n"
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    running = [p for p in k.get("pods")["items"] if "deletionTimestamp" not in p["metadata"]]
    assert len(running) == 2
    assert not before & {p["metadata"]["uid"] for p in running}


def test_a_paused_deployment_waits_for_resume(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert k.kubectl("rollout", "pause", "deployment/d") == "deployment.apps/d paused\n"
    assert k.kubectl("set", "image", "deployment/d", f"c={BUSYBOX}-none") == "deployment.apps/d image updated\n"
    k.kubectl("set", "image", "deployment/d", f"c={BUSYBOX}")
    k.kubectl("set", "resources", "deployment/d", "--limits=memory=64Mi")
    time.sleep(0.5)
    assert len(k.get("rs")["items"]) == 1
    assert k.kubectl("rollout", "resume", "deployment/d") == "deployment.apps/d resumed\n"
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    eventually(lambda: len(k.get("rs")["items"]) == 2)


def test_set_image_rolls_pods(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert k.get("pods")["items"][0]["status"]["containerStatuses"][0]["imageID"]
    k.kubectl("set", "image", "deployment/d", "c=127.0.0.1:1/none:1")
    text = k.kubectl("rollout", "status", "deployment/d", "--timeout=2s", ok=False)
    assert "0 out of 1 new replicas have been updated" in text or "1 old replicas are pending termination" in text
    assert "timed out waiting for the condition" in text


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_a_cordoned_node_takes_no_pods(k: Cluster) -> None:
    assert k.kubectl("cordon", "node-1") == "node/node-1 cordoned\n"
    try:
        assert "Ready,SchedulingDisabled" in k.kubectl("get", "node", "node-1")
        k.apply(pod("p"))
        message = "0/1 nodes are available: 1 node(s) were unschedulable."
        eventually(lambda: message in k.kubectl("get", "events", "--field-selector", "reason=FailedScheduling"))
        assert k.kubectl("get", "pod", "p", "--no-headers").split()[2] == "Pending"
    finally:
        k.kubectl("uncordon", "node-1")
    k.wait("condition=Ready", "pod/p")


def test_drain_evicts_what_can_be_evicted(k: Cluster) -> None:
    k.apply(pod("bare"), deployment("d", 1))
    k.wait("condition=Ready", "pod/bare")
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    selected = ["drain", "node-1", "--pod-selector=app in (bare,d)", "--ignore-daemonsets"]
    try:
        assert "cannot delete" in k.kubectl(*selected, ok=False)
        text = k.kubectl(*selected, "--force", "--timeout=60s", ok=False)
        assert "evicting pod" in text
        assert "node/node-1 drained" in text or "node/node-1 evicted" in text
        assert "NotFound" in k.kubectl("get", "pod", "bare", ok=False)
    finally:
        k.kubectl("uncordon", "node-1")
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")


def test_a_taint_keeps_pods_away_and_sends_them_off(k: Cluster) -> None:
    start(k, pod("old"))
    k.kubectl("taint", "node", "node-1", "e2e=only:NoExecute")
    try:
        eventually(lambda: "NotFound" in k.kubectl("get", "pod", "old", ok=False))
        k.apply(pod("no"), pod("yes", tolerations=[{"key": "e2e", "operator": "Exists"}]))
        k.wait("condition=Ready", "pod/yes")
        message = "0/1 nodes are available: 1 node(s) had untolerated taint"
        eventually(lambda: message in k.kubectl("describe", "pod", "no"))
    finally:
        k.kubectl("taint", "node", "node-1", "e2e-")
    k.wait("condition=Ready", "pod/no")

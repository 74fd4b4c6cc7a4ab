"""What users do with kubectl to the API: ask, read, write. Through every kubectl found: the oldest and the newest."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import BUSYBOX, Cluster, container, eventually, pod
from tests.e2e.kubectl import background, config_map, deployment, minor, read_until, start

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

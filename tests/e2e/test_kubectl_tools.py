"""What users do with kubectl now and then: debug, certificates, prune, kustomize. Through every kubectl found."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import BUSYBOX, Cluster, eventually, pod, run
from tests.e2e.kubectl import config_map, minor, start


def test_debug_adds_a_container_to_a_running_pod(k: Cluster) -> None:
    if minor(k) < 25:
        pytest.skip("kubectl before 1.25 speaks to a form of this subresource that upstream has removed")
    start(k, pod("p"))
    k.kubectl("debug", "p", f"--image={BUSYBOX}", "--target=c", "-c", "debugger", "--", "sh", "-c", "ps; echo seen")
    eventually(lambda: "seen" in k.kubectl("logs", "p", "-c", "debugger", ok=False))
    assert "sleep 3600" in k.kubectl("logs", "p", "-c", "debugger")  # it shares the target's processes
    assert "Ephemeral Containers:\n  debugger:" in k.kubectl("describe", "pod", "p")


def test_debug_copies_a_pod_with_another_command(k: Cluster) -> None:
    start(k, pod("p"))
    k.kubectl("debug", "p", "--copy-to=copy", "--container=c", "--", "sh", "-c", "echo copied; sleep 3600")
    k.wait("condition=Ready", "pod/copy")
    assert k.kubectl("logs", "copy") == "copied\n"
    assert "app" not in k.get("pod", "copy")["metadata"].get("labels", {})  # no service finds it


def test_debug_looks_at_a_node(k: Cluster) -> None:
    made = k.kubectl("debug", "node/node-1", f"--image={BUSYBOX}", "--", "ls", "/host/etc/hostname", ok=False)
    name = next(word for word in made.split() if word.startswith("node-debugger-"))
    k.wait("jsonpath={.status.phase}=Succeeded" if minor(k) >= 23 else "condition=PodScheduled", f"pod/{name}")
    eventually(lambda: "/host/etc/hostname" in k.kubectl("logs", name, ok=False))


def test_a_certificate_is_asked_for_approved_and_used(k: Cluster, tmp_path: Path) -> None:
    key, request = str(tmp_path / "key"), str(tmp_path / "request")
    subject = ["-subj", "/O=team/CN=alice", "-out", request]
    run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, *subject)
    asked = subprocess.run(["base64", "-w0", request], capture_output=True, text=True, check=True).stdout
    name = f"alice-{k.namespace}"
    signer = {"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "request": asked}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    k.apply({**kind, "metadata": {"name": name}, "spec": signer})
    assert "Pending" in k.kubectl("get", "csr", name)
    k.kubectl("certificate", "approve", name)
    eventually(lambda: "Approved,Issued" in k.kubectl("get", "csr", name))
    (tmp_path / "certificate").write_bytes(
        subprocess.run(
            ["base64", "-d"],
            input=k.get("csr", name)["status"]["certificate"].encode(),
            capture_output=True,
            check=True,
        ).stdout
    )
    k.kubectl("create", "rolebinding", "alice", "--clusterrole=view", "--group=team")
    config = yaml.safe_load(Path(k.environment["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"client-certificate": str(tmp_path / "certificate"), "client-key": key}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    alice = ("--kubeconfig", str(tmp_path / "kubeconfig"))
    eventually(lambda: "kube-root-ca.crt" in k.kubectl(*alice, "get", "configmaps", ok=False))
    refused = k.kubectl(*alice, "create", "configmap", "x", ok=False)
    assert 'User "alice" cannot create resource "configmaps"' in refused
    k.kubectl("delete", "csr", name)


def test_apply_prunes_what_is_no_longer_in_the_manifests(k: Cluster) -> None:
    labels = {"part": "mine"}
    both = [config_map(name, labels, a="1") for name in ("kept", "gone")]
    which = "--prune-allowlist" if minor(k) >= 26 else "--prune-whitelist"
    for objects in (both, both[:1]):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        flags = ("--prune", "-l", "part=mine", f"{which}=core/v1/ConfigMap")
        told = k.kubectl("apply", "-f", "-", *flags, stdin=listed)
    assert "configmap/gone pruned" in told
    assert k.kubectl("get", "configmaps", "-l", "part=mine", "-o", "name") == "configmap/kept\n"


def test_a_kustomization_is_applied_and_deleted(k: Cluster, tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump(config_map("base", a="1")))
    generated = {"name": "made", "literals": ["x=y"]}
    kustomization = {"namePrefix": "pre-", "resources": ["cm.yaml"], "configMapGenerator": [generated]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    k.kubectl("apply", "-k", str(tmp_path))
    names = k.kubectl("get", "-k", str(tmp_path), "-o", "name").split()
    assert len(names) == 2 and "configmap/pre-base" in names
    assert k.kubectl("diff", "-k", str(tmp_path)) == ""
    k.kubectl("delete", "-k", str(tmp_path))
    assert "pre-" not in k.kubectl("get", "configmaps")


def test_top_says_that_there_are_no_metrics(k: Cluster) -> None:
    assert "Metrics API not available" in k.kubectl("top", "pods", ok=False)

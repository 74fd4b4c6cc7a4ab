"""Defaults and limits for claims, volumes, ingresses, nodes, bindings and certificates."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}


def claim(name: str = "c", size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": name}, "spec": body}


async def test_a_claim_gets_the_default_class_and_the_finalizer(admin: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    none = await admin.make(path, claim("none"))
    assert "storageClassName" not in none["spec"]
    assert none["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await admin.make(CLASSES, {"metadata": {"name": "plain"}, "provisioner": "x"})
    await admin.make(CLASSES, {"metadata": {"name": "usual", "annotations": DEFAULT}, "provisioner": "x"})
    assert (await admin.make(path, claim("a")))["spec"]["storageClassName"] == "usual"
    assert (await admin.make(path, claim("b", storageClassName="")))["spec"]["storageClassName"] == ""
    assert (await admin.make(path, claim("c", storageClassName="plain")))["spec"]["storageClassName"] == "plain"


async def test_a_claim_grows_only_when_bound_and_only_in_a_class_that_allows_it(admin: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    for name, allows in (("stiff", False), ("elastic", True)):
        await admin.make(CLASSES, {"metadata": {"name": name}, "provisioner": "x", "allowVolumeExpansion": allows})
        await admin.make(path, claim(name, storageClassName=name, volumeName="pv"))
    bigger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    early = await admin.patch(f"{path}/elastic", bigger)
    assert early.status in (403, 422)
    for name in ("stiff", "elastic"):
        bound = await admin.patch(f"{path}/{name}/status", {"status": {"phase": "Bound"}})
        assert bound.status == 200, bound.body
    refused = await admin.patch(f"{path}/stiff", bigger)
    assert refused.message == (
        'persistentvolumeclaims "stiff" is forbidden: only dynamically provisioned pvc can be resized and '
        "the storageclass that provisions the pvc must support resize"
    )
    assert (await admin.patch(f"{path}/elastic", bigger)).status == 200


async def test_an_ingress_gets_the_default_class(admin: Rest, namespace: str) -> None:
    classes = "/apis/networking.k8s.io/v1/ingressclasses"
    mark = {"ingressclass.kubernetes.io/is-default-class": "true"}
    await admin.make(classes, {"metadata": {"name": "usual", "annotations": mark}, "spec": {"controller": "x/y"}})
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"
    backend = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    made = await admin.make(path, {"metadata": {"name": "a"}, "spec": backend})
    assert made["spec"]["ingressClassName"] == "usual"
    old = {"name": "b", "annotations": {"kubernetes.io/ingress.class": "nginx"}}
    assert "ingressClassName" not in (await admin.make(path, {"metadata": old, "spec": backend}))["spec"]


async def test_a_new_node_is_not_ready_and_a_volume_is_protected(admin: Rest) -> None:
    node = await admin.make("/api/v1/nodes", {"metadata": {"name": "fresh"}})
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    volume = {
        "metadata": {"name": "pv"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    }
    made = await admin.make("/api/v1/persistentvolumes", volume)
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


def signing_request(organization: str = "dev") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane"),
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def csr(name: str, request: str, signer: str = "kubernetes.io/kube-apiserver-client") -> dict[str, Any]:
    spec = {"request": request, "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": name}, "spec": spec}


async def test_nobody_asks_for_a_certificate_of_the_masters(admin: Rest) -> None:
    answer = await admin("POST", CSRS, csr("bad", signing_request("system:masters")))
    assert answer.status == 403
    assert answer.message == (
        'certificatesigningrequests.certificates.k8s.io "bad" is forbidden: use of '
        "kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )


async def test_approving_takes_the_right_on_the_signer(admin: Rest) -> None:
    made = await admin.make(CSRS, csr("good", signing_request()))
    rules = [
        {
            "verbs": ["get", "update"],
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"],
        }
    ]
    base = "/apis/rbac.authorization.k8s.io/v1"
    await admin.make(f"{base}/clusterroles", {"metadata": {"name": "approver"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    await admin.make(
        f"{base}/clusterrolebindings",
        {"metadata": {"name": "approver"}, "roleRef": reference, "subjects": subjects},
    )
    jane = admin.as_user("jane")
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "ok", "message": "ok"}]}
    refused = await jane("PUT", f"{CSRS}/good/approval", made)
    assert refused.status == 403
    assert refused.message == (
        'certificatesigningrequests.certificates.k8s.io "good" is forbidden: user not permitted to approve requests '
        'with signerName "kubernetes.io/kube-apiserver-client"'
    )
    signers = {
        "verbs": ["approve"],
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "resourceNames": ["kubernetes.io/*"],
    }
    assert (await admin.patch(f"{base}/clusterroles/approver", {"rules": [*rules, signers]})).status == 200
    assert (await jane("PUT", f"{CSRS}/good/approval", made)).status == 200

"""Certificate signing requests over HTTP: who asks, who decides, who signs."""

import base64
import uuid
from typing import Any

import pytest

from pynetes.testing.rest import Rest
from tests.unit.apis.test_certificates import certificate_pem, request_pem

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
Obj = dict[str, Any]


def csr(**spec: Any) -> Obj:
    request = base64.b64encode(request_pem().encode()).decode()
    whole = {"request": request, "signerName": "example.com/signer", "usages": ["client auth"]}
    return {"metadata": {"name": f"csr-{uuid.uuid4().hex[:8]}"}, "spec": whole | spec}


def decided(obj: Obj, kind: str) -> Obj:
    return obj | {"status": {"conditions": [{"type": kind, "status": "True", "reason": "Because"}]}}


async def test_the_requester_is_who_asked_whatever_they_say(admin: Rest) -> None:
    answer = await admin("POST", REQUESTS, csr(username="root", groups=["system:masters-of-all"], uid="0"))
    spec = answer.json["spec"]
    assert (answer.status, spec["username"], "uid" in spec) == (201, "kubernetes-admin", False)
    assert spec["groups"] == ["system:masters", "system:authenticated"]
    changed = answer.json | {"spec": spec | {"username": "root"}}
    again = await admin("PUT", f"{REQUESTS}/{answer.json['metadata']['name']}", changed)
    assert (again.status, again.json["spec"]["username"]) == (200, "kubernetes-admin")


async def test_from_request_to_certificate(admin: Rest) -> None:
    made = (await admin("POST", REQUESTS, csr())).json
    path = f"{REQUESTS}/{made['metadata']['name']}"
    refused = await admin("PUT", f"{path}/status", decided(made, "Approved"))
    assert refused.status == 422
    approved = await admin("PUT", f"{path}/approval", decided(made, "Approved"))
    assert approved.status == 200
    (condition,) = approved.json["status"]["conditions"]
    assert condition["lastUpdateTime"] and condition["lastTransitionTime"]
    certificate = base64.b64encode(certificate_pem().encode()).decode()
    issued = approved.json
    issued["status"]["certificate"] = certificate
    answer = await admin("PUT", f"{path}/status", issued)
    assert (answer.status, answer.json["status"]["certificate"]) == (200, certificate)
    denied = await admin("PUT", f"{path}/approval", decided(answer.json, "Denied"))
    assert denied.status == 422 and "updates may not remove" in denied.message
    accept = "application/json;as=Table;g=meta.k8s.io;v=v1"
    (row,) = (await admin("GET", path, headers={"Accept": accept})).json["rows"]
    assert row["cells"][2:] == ["example.com/signer", "kubernetes-admin", "<none>", "Approved,Issued"]


async def test_requests_are_selected_by_their_signer(admin: Rest) -> None:
    signer = f"example.com/{uuid.uuid4().hex[:8]}"
    made = (await admin("POST", REQUESTS, csr(signerName=signer))).json
    found = (await admin("GET", f"{REQUESTS}?fieldSelector=spec.signerName%3D{signer}")).json["items"]
    assert [each["metadata"]["name"] for each in found] == [made["metadata"]["name"]]

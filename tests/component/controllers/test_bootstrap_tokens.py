"""Bootstrap tokens sign `cluster-info`, and go when their time is over."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from pynetes.controllers.bootstrap_tokens import detached_signature
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

World = Any
SECRET = "0123456789abcdef"
both = pytest.mark.options(controllers=["*", "bootstrapsigner", "tokencleaner"])


def token(token_id: str, seconds: float = 3600, **more: str) -> Obj:
    data = {
        "token-id": token_id,
        "token-secret": SECRET,
        "expiration": clock.format_time(clock.now() + timedelta(seconds=seconds)),
        "usage-bootstrap-signing": "true",
        **more,
    }
    metadata = {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "stringData": data}


def test_a_signature_is_a_jws_without_its_content() -> None:
    header, content, signature = detached_signature("kubeconfig", "abcdef", SECRET).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "kid": "abcdef"}
    assert content == ""
    signed = f"{header}.{base64.urlsafe_b64encode(b'kubeconfig').rstrip(b'=').decode()}"
    wanted = hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256)
    assert base64.urlsafe_b64decode(signature + "=") == wanted


@both
async def test_cluster_info_is_signed_with_every_token_that_may(world: World) -> None:
    async def data() -> dict[str, str]:
        found: dict[str, str] = (await world.client.get("configmaps", "cluster-info", "kube-public"))["data"]
        return found

    async def says(**wanted: str) -> bool:
        return await data() == wanted

    await world.client.create(
        "configmaps", {"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "one"}}, "kube-public"
    )
    for each in (token("abcdef"), token("fedcba"), token("nosign", **{"usage-bootstrap-signing": "false"})):
        await world.client.create("secrets", each, "kube-system")
    first, second = (detached_signature("one", token_id, SECRET) for token_id in ("abcdef", "fedcba"))
    await world.eventually(
        lambda: says(**{"kubeconfig": "one", "jws-kubeconfig-abcdef": first, "jws-kubeconfig-fedcba": second})
    )
    await world.client.delete("secrets", "bootstrap-token-fedcba", "kube-system")
    await world.eventually(lambda: says(**{"kubeconfig": "one", "jws-kubeconfig-abcdef": first}))
    await world.client.patch("configmaps", "cluster-info", {"data": {"kubeconfig": "two"}}, "kube-public")
    anew = detached_signature("two", "abcdef", SECRET)
    await world.eventually(lambda: says(**{"kubeconfig": "two", "jws-kubeconfig-abcdef": anew}))


@both
async def test_a_token_is_removed_when_its_time_is_over(world: World) -> None:
    for each in (token("future"), token("past00", -1), token("soon00", 1), token("forevr", expiration="")):
        await world.client.create("secrets", each, "kube-system")

    async def left() -> bool:
        listed = await world.client.list("secrets", "kube-system", field_selector="type=bootstrap.kubernetes.io/token")
        return {meta.name(secret) for secret in listed.items} == {"bootstrap-token-future", "bootstrap-token-forevr"}

    await world.eventually(left)

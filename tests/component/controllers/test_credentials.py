"""Controllers act as their accounts, also when an account is made anew."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pynetes.machinery import meta

World = Any


async def test_a_controller_whose_account_was_deleted_gets_a_new_one(world: World, deployment: Any) -> None:
    await world.create("deployments.apps", deployment("first", replicas=1))

    async def up(name: str) -> bool:
        found = await world.get("deployments.apps", name)
        return found.get("status", {}).get("availableReplicas") == 1

    await world.eventually(lambda: up("first"))
    before = await world.client.get("serviceaccounts", "replicaset-controller", "kube-system")
    await world.client.delete("serviceaccounts", "replicaset-controller", "kube-system")
    await world.create("deployments.apps", deployment("second", replicas=1))
    await world.eventually(lambda: up("second"))
    after = await world.client.get("serviceaccounts", "replicaset-controller", "kube-system")
    assert meta.uid(after) != meta.uid(before)


def _token_key(request: pytest.FixtureRequest) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path: Path = request.getfixturevalue("tmp_path") / "sa.key"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


@pytest.mark.options(service_account_private_key_file=_token_key)
async def test_a_token_secret_is_filled_and_dies_with_its_account(world: World) -> None:
    account = await world.create("serviceaccounts", {"metadata": {"name": "robot"}})
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    await world.create("secrets", secret)

    async def filled() -> Any:
        found = await world.get("secrets", "t")
        return found if {"token", "ca.crt", "namespace"} <= (found.get("data") or {}).keys() else None

    found = await world.eventually(filled)
    assert meta.annotations(found)["kubernetes.io/service-account.uid"] == meta.uid(account)
    assert base64.b64decode(found["data"]["namespace"]) == b"default"
    header, claims, _ = (part + "==" for part in base64.b64decode(found["data"]["token"]).decode().split("."))
    assert json.loads(base64.urlsafe_b64decode(header))["alg"] == "RS256"
    told = json.loads(base64.urlsafe_b64decode(claims))
    assert told["sub"] == "system:serviceaccount:default:robot"
    assert told["kubernetes.io/serviceaccount/secret.name"] == "t"
    await world.client.delete("serviceaccounts", "robot", "default")
    await world.eventually(lambda: world.gone("secrets", "t"))


async def test_an_account_no_longer_lists_a_token_secret_that_was_deleted(world: World) -> None:
    await world.create("serviceaccounts", {"metadata": {"name": "robot"}, "secrets": [{"name": "pull"}, {"name": "t"}]})
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    await world.create("secrets", secret)
    await world.client.delete("secrets", "t", "default")

    async def struck() -> bool:
        return (await world.get("serviceaccounts", "robot"))["secrets"] == [{"name": "pull"}]

    await world.eventually(struck)


@pytest.mark.options(feature_gates=["LegacyServiceAccountTokenNoAutoGeneration=false"])
async def test_an_account_without_a_token_of_its_own_is_given_one(world: World) -> None:
    await world.create("serviceaccounts", {"metadata": {"name": "robot"}, "secrets": [{"name": "pull"}]})

    async def listed() -> list[str]:
        names = [secret["name"] for secret in (await world.get("serviceaccounts", "robot"))["secrets"]]
        return names if len(names) == 2 else []

    async def another() -> list[str]:
        names = await listed()
        return names if names and names != first else []

    first = await world.eventually(listed)
    assert first[0] == "pull" and first[1].startswith("robot-token-")
    await world.client.delete("secrets", first[1], "default")
    assert (await world.eventually(another))[0] == "pull"

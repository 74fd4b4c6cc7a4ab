"""The table of resources."""

import pytest

from pynetes.machinery import resources
from pynetes.machinery.resources import BUILTIN, OPTIONAL, by_kind, lookup


def test_no_resource_and_no_kind_stands_twice() -> None:
    everything = (*BUILTIN, *OPTIONAL)
    assert len({(rt.api_version, rt.plural) for rt in everything}) == len(everything)
    assert len({(rt.api_version, rt.kind) for rt in everything}) == len(everything)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("pods", "pods"),
        ("po", "pods"),
        ("pod", "pods"),
        ("Deploy", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployments.v1.apps", "deployments.apps"),
        ("events", "events"),
        ("events.events.k8s.io", "events.events.k8s.io"),
        ("crds", "customresourcedefinitions.apiextensions.k8s.io"),
        ("netpol", "networkpolicies.networking.k8s.io"),
    ],
)
def test_lookup_knows_kubectls_words(word: str, found: str) -> None:
    assert lookup(word).group_resource == found


def test_lookup_prefers_the_newer_version_and_refuses_unknown_words() -> None:
    assert lookup("hpa").version == "v2"
    with pytest.raises(KeyError):
        lookup("gadgets")


def test_paths() -> None:
    pods, nodes, deployments = lookup("pods"), lookup("nodes"), lookup("deploy")
    assert pods.path() == "/api/v1/pods"
    assert pods.path("ns") == "/api/v1/namespaces/ns/pods"
    assert pods.path("ns", "a", "status") == "/api/v1/namespaces/ns/pods/a/status"
    assert nodes.path("ignored", "n") == "/api/v1/nodes/n"
    assert deployments.path("ns", "a") == "/apis/apps/v1/namespaces/ns/deployments/a"


def test_storage_version_hashes_are_upstreams() -> None:
    known = {
        "pods": "xPOwRZ+Yhw8=",
        "configmaps": "qFsyl6wFWjQ=",
        "deployments": "8aSe+NMegvE=",
        "services": "0/CO1lhkEBI=",
    }
    assert {word: lookup(word).storage_version_hash for word in known} == known


def test_subresources_speak_their_own_kinds() -> None:
    eviction = lookup("pods").subresource("eviction")
    assert eviction and (eviction.api_version, eviction.kind, eviction.verbs) == ("policy/v1", "Eviction", ("create",))
    scale = lookup("deployments").subresource("scale")
    assert scale and (scale.api_version, scale.kind) == ("autoscaling/v1", "Scale")
    assert lookup("pods").subresource("nope") is None
    assert "deletecollection" not in lookup("namespaces").verbs


def test_by_kind_finds_optional_versions_too() -> None:
    assert by_kind("apps/v1", "Deployment") == lookup("deployments")
    assert by_kind("resource.k8s.io/v1beta1", "DeviceClass") in OPTIONAL
    assert by_kind("apps/v1", "Pod") is None
    assert resources.BUILTIN[0].group == ""

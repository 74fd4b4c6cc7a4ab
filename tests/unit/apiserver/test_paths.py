"""What a method and a path ask for."""

import pytest

from pynetes.apiserver.paths import request_info


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces/ns/pods/p", "", ("get", "", "v1", "pods", "", "ns", "p")),
        ("GET", "/api/v1/namespaces/ns/pods", "", ("list", "", "v1", "pods", "", "ns", "")),
        ("GET", "/api/v1/pods", "watch=1", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", "watch=false", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/watch/pods", "", ("watch", "", "v1", "pods", "", "", "")),
        ("POST", "/apis/apps/v1/namespaces/ns/deployments", "", ("create", "apps", "v1", "deployments", "", "ns", "")),
        ("PUT", "/apis/apps/v1/namespaces/ns/deployments/d/scale", "",
         ("update", "apps", "v1", "deployments", "scale", "ns", "d")),
        ("PATCH", "/api/v1/nodes/n/status", "", ("patch", "", "v1", "nodes", "status", "", "n")),
        ("DELETE", "/api/v1/namespaces/ns/pods", "", ("deletecollection", "", "v1", "pods", "", "ns", "")),
        ("DELETE", "/api/v1/namespaces/ns/pods/p", "", ("delete", "", "v1", "pods", "", "ns", "p")),
        ("GET", "/api/v1/namespaces/ns", "", ("get", "", "v1", "namespaces", "", "ns", "ns")),
        ("PUT", "/api/v1/namespaces/ns/finalize", "", ("update", "", "v1", "namespaces", "finalize", "ns", "ns")),
        ("GET", "/api/v1/namespaces", "", ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a%2Fb/pods/x%20y", "", ("get", "", "v1", "pods", "", "a/b", "x y")),
    ],
)  # fmt: skip
def test_resource_paths(method: str, path: str, query: str, expected: tuple[str, ...]) -> None:
    info = request_info(method, path, query)
    assert info.is_resource
    found = (info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name)
    assert found == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz/ping", "/x/y/z"]
)
def test_other_paths_are_no_resources(path: str) -> None:
    info = request_info("GET", path, "")
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)


def test_a_list_of_one_name_concerns_that_name() -> None:
    info = request_info("GET", "/api/v1/namespaces/ns/secrets", "fieldSelector=metadata.name%3Dmine&watch=true")
    assert (info.verb, info.name, info.field_selector) == ("watch", "mine", "metadata.name=mine")


def test_a_broken_field_selector_is_left_to_the_verb() -> None:
    assert request_info("GET", "/api/v1/pods", "fieldSelector=%3D%3D%3D").name == ""


@pytest.mark.parametrize("tail", ["", "/", "/a/b", "/a/b/", "/a%20b"])
def test_what_follows_a_proxy_is_kept_as_it_was(tail: str) -> None:
    info = request_info("GET", f"/api/v1/namespaces/ns/services/http:web:80/proxy{tail}", "")
    assert (info.name, info.subresource, info.tail) == ("http:web:80", "proxy", tail)

"""Ingresses as virtual hosts, and those as nginx's configuration."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pynetes.network.ingress.config import Place, render
from pynetes.network.ingress.controller import _is_pair, _placeholder_certificate, shared_address
from pynetes.network.ingress.model import CONTROLLER, Builder, Host, Location, Upstream, is_ours

Obj = dict[str, Any]
SERVICES = {
    "default/web": {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]},
    },
    "default/outside": {
        "metadata": {"name": "outside", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "www.example.net"},
    },
}
SLICE = {
    "endpoints": [
        {"addresses": ["10.244.0.1"], "conditions": {"ready": True}},
        {"addresses": ["10.244.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
    ],
    "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 9090}],
}


def path(text: str = "/", service: str = "web", kind: str = "Prefix", **port: Any) -> Obj:
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    return {"path": text, "pathType": kind, "backend": backend}


def ingress(
    name: str = "i",
    host: str = "a.example.com",
    paths: list[Obj] | None = None,
    annotations: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> Obj:
    prefix = "nginx.ingress.kubernetes.io/"
    rules = [{"host": host, "http": {"paths": paths}}] if paths is not None else []
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "creationTimestamp": created,
            "annotations": {prefix + key: value for key, value in (annotations or {}).items()},
        },
        "spec": {"rules": rules} | spec,
    }


def build(*ingresses: Obj) -> dict[str, Host]:
    slices = {"default/web": [SLICE]}
    found = Builder(SERVICES.get, lambda key: slices.get(key, [])).build(ingresses)
    return {host.name: host for host in found}


def only(host: Host) -> Location:
    [location] = host.locations.values()
    return location


def test_ports_by_number_and_by_name_lead_to_ready_endpoints() -> None:
    assert only(build(ingress(paths=[path()]))["a.example.com"]).upstream.servers == ("10.244.0.1:8080",)
    named = build(ingress(paths=[path(name="admin")]))
    assert only(named["a.example.com"]).upstream.servers == ("10.244.0.1:9090",)


@pytest.mark.parametrize("entry", [path(service="nope"), path(number=99), path(name="nope")])
def test_a_backend_that_is_not_there_has_no_servers(entry: Obj) -> None:
    assert only(build(ingress(paths=[entry]))["a.example.com"]).upstream.servers == ()


def test_an_external_name_is_reached_by_name() -> None:
    upstream = only(build(ingress(paths=[path(service="outside", number=8443)]))["a.example.com"]).upstream
    assert (upstream.servers, upstream.external) == (("www.example.net:8443",), True)


def test_the_older_ingress_keeps_a_path_that_two_claim() -> None:
    older = ingress("z", paths=[path("/x")], created="2025-01-01T00:00:00Z")
    newer = ingress("a", paths=[path("/x", "outside"), path("/y", "outside")])
    host = build(newer, older)["a.example.com"]
    assert [entry.upstream.external for _, entry in sorted(host.locations.items())] == [False, True]


def test_a_default_backend_serves_what_the_rules_do_not() -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    assert set(build(ingress(defaultBackend=backend))) == {""}
    host = build(ingress(paths=[path("/x")], defaultBackend=backend))["a.example.com"]
    assert set(host.locations) == {("prefix", "/x"), ("prefix", "/")}


def test_tls_hosts_redirect_unless_told_not_to() -> None:
    tls = [{"hosts": ["a.example.com"], "secretName": "site"}]
    host = build(ingress(paths=[path()], tls=tls))["a.example.com"]
    assert (host.tls, host.redirect, host.secret) == (True, True, "default/site")
    host = build(ingress(paths=[path()], tls=tls, annotations={"ssl-redirect": "false"}))["a.example.com"]
    assert (host.tls, host.redirect) == (True, False)


def test_annotations_become_directives_only_if_they_are_harmless() -> None:
    settings = {"proxy-body-size": "8m", "proxy-read-timeout": "30", "proxy-buffering": "off; evil on"}
    location = only(build(ingress(paths=[path()], annotations=settings))["a.example.com"])
    assert dict(location.directives) == {"client_max_body_size": "8m", "proxy_read_timeout": "30s"}


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ({"ingressClassName": "nginx"}, {}, True),
        ({"ingressClassName": "ours"}, {}, True),
        ({"ingressClassName": "theirs"}, {}, False),
        ({"ingressClassName": "unknown"}, {}, False),
        ({}, {}, False),
        ({}, {"kubernetes.io/ingress.class": "theirs"}, False),
        ({}, {"kubernetes.io/ingress.class": "nginx"}, True),
    ],
)
def test_classes(spec: Obj, annotations: dict[str, str], expected: bool) -> None:
    classes = {
        name: {"metadata": {"name": name}, "spec": {"controller": controller}}
        for name, controller in (("ours", CONTROLLER), ("theirs", "example.com/other"))
    }
    assert is_ours({"metadata": {"annotations": annotations}, "spec": spec}, classes) is expected


def test_the_shared_address_is_the_last_of_the_range() -> None:
    assert shared_address("10.89.0.128/25") == "10.89.0.254"
    assert shared_address("") == ""


def test_a_certificate_must_belong_to_its_key() -> None:
    one, two = _placeholder_certificate(), _placeholder_certificate()
    assert _is_pair(one)
    assert not _is_pair(one[: one.index(b"-----BEGIN PRIVATE")] + two[two.index(b"-----BEGIN PRIVATE") :])
    assert not _is_pair(b"nonsense")


def test_paths_cannot_break_out_of_the_configuration() -> None:
    evil = Location("prefix", '/x; } server { listen 1; "', Upstream("u", ("10.0.0.1:80",)))
    host = Host("a", {("prefix", evil.path): evil})
    text = render([host], Place(Path("/x"), "127.0.0.1", 1, 2), frozenset())
    assert "listen 1;" not in text and "location /xserverlisten1/ {" in text


def test_nginx_takes_every_kind_of_configuration(tmp_path: Path) -> None:
    place = Place(tmp_path, "127.0.0.1", 18080, 18443, resolver="127.0.0.1")
    place.certificate("").write_bytes(_placeholder_certificate())
    tls = [{"hosts": ["a.example.com"], "secretName": "site"}]
    rewriting = {"rewrite-target": "/$1", "backend-protocol": "HTTPS", "upstream-vhost": "x.example.com"}
    hosts = build(
        ingress(paths=[path(), path("/x", kind="Exact"), path("/x"), path("/none", "nope")], tls=tls),
        ingress("wild", "*.example.com", [path("/x", "outside")]),
        ingress("regex", "b.example.com", [path("/api/(.*)", kind="ImplementationSpecific")], rewriting),
        ingress("rest", defaultBackend={"service": {"name": "web", "port": {"number": 80}}}),
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(render(hosts.values(), place, frozenset()))
    command = ["nginx", "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Image references, pull secrets, resolv.conf, hosts files."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pynetes.kubelet import dns, hosts
from pynetes.kubelet.images import matching_credentials, with_default_tag


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("example.org:5000/a/b", "example.org:5000/a/b:latest"),
        ("example.org:5000/a/b:v1", "example.org:5000/a/b:v1"),
        ("localhost/a_b.c__d--e", "localhost/a_b.c__d--e:latest"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
        ("a:t@sha256:" + "0" * 64, "a:t@sha256:" + "0" * 64),
    ],
)
def test_a_reference_without_tag_and_digest_gets_latest(image: str, expected: str) -> None:
    assert with_default_tag(image) == expected


@pytest.mark.parametrize("image", ["", "A", "a b", "a:", "a@sha256:1", "/a", "a//b", "-a", "a:tag:tag", "0" * 64])
def test_invalid_references_are_refused(image: str) -> None:
    with pytest.raises(ValueError, match="couldn't parse image name"):
        with_default_tag(image)


def test_an_upper_case_repository_is_explained() -> None:
    with pytest.raises(ValueError, match=r"invalid reference format: repository name \(library/A\) must be lowercase"):
        with_default_tag("A")


def secret(auths: dict[str, Any]) -> dict[str, Any]:
    return {"data": {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()}}


def login(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}


@pytest.mark.parametrize(
    ("registry", "image", "matches"),
    [
        ("example.org", "example.org/a/b:v1", True),
        ("https://example.org/v2/", "example.org/a/b:v1", True),
        ("example.org/a", "example.org/a/b:v1", True),
        ("example.org/c", "example.org/a/b:v1", False),
        ("*.example.org", "x.example.org/a:v1", True),
        ("*.example.org", "example.org/a:v1", False),
        ("example.org:5000", "example.org:5000/a:v1", True),
        ("example.org", "example.org:5000/a:v1", False),
        ("https://index.docker.io/v1/", "busybox:latest", True),
    ],
)
def test_credentials_fit_their_registry(registry: str, image: str, matches: bool) -> None:
    found = matching_credentials(image, [secret({registry: login("me")})])
    assert [entry["username"] for entry in found] == (["me"] if matches else [])


def test_the_more_specific_credential_comes_first() -> None:
    auths = {"example.org": login("wide"), "example.org/a": login("narrow")}
    assert [e["username"] for e in matching_credentials("example.org/a/b:1", [secret(auths)])] == ["narrow", "wide"]


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch example.org. other\noptions rotate\n"
    )
    return path


def conf(found: dns.ResolvConf) -> tuple[list[str], list[str], list[str]]:
    return found.servers, found.searches, found.options


CLUSTER = (["10.0.0.10"], ["ns.svc.c.local", "svc.c.local", "c.local", "example.org", "other"], ["ndots:5"])
HOST = (["192.0.2.1", "192.0.2.2"], ["example.org", "other"], ["rotate"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, HOST),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"]}}, (["1.1.1.1"], ["x"], [])),
    ],
)
def test_every_dns_policy(spec: dict[str, Any], expected: tuple[list[str], ...], host_file: Path) -> None:
    assert conf(dns.pod_dns(pod(**spec), ["10.0.0.10"], "c.local", host_file)) == expected


def test_dns_config_adds_and_overrides(host_file: Path) -> None:
    extra = {"nameservers": ["10.0.0.10", "9.9.9.9"], "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]}
    found = dns.pod_dns(pod(dnsConfig=extra), ["10.0.0.10"], "c.local", host_file)
    assert found.servers == ["10.0.0.10", "9.9.9.9"] and found.options == ["ndots:1", "edns0"]


def test_too_many_servers_are_cut_with_a_warning(host_file: Path) -> None:
    found = dns.pod_dns(
        pod(dnsConfig={"nameservers": ["2.2.2.2", "3.3.3.3", "4.4.4.4"]}), ["1.1.1.1"], "c.local", host_file
    )
    assert found.servers == ["1.1.1.1", "2.2.2.2", "3.3.3.3"]
    assert "the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3" in found.warnings[0]


def test_host_names() -> None:
    assert dns.kernel_hostname(pod(), "c.local") == "p"
    assert dns.kernel_hostname(pod(hostname="h", subdomain="s"), "c.local") == "h"
    assert (
        dns.kernel_hostname(pod(hostname="h", subdomain="s", setHostnameAsFQDN=True), "c.local") == "h.s.ns.svc.c.local"
    )
    with pytest.raises(ValueError, match="64 characters is the max"):
        dns.kernel_hostname(pod(hostname="h" * 60, subdomain="s", setHostnameAsFQDN=True), "c.local")


def test_the_hosts_file() -> None:
    aliases = [{"ip": "192.0.2.9", "hostnames": ["a", "b"]}]
    text = hosts.hosts_file(pod(hostname="h", subdomain="s", hostAliases=aliases), ["10.1.0.5"], "c.local")
    assert text == (
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
        "10.1.0.5\th.s.ns.svc.c.local\th\n\n# Entries added by HostAliases.\n192.0.2.9\ta\tb\n"
    )


def test_signals() -> None:
    import signal

    from pynetes.kubelet.stopper import signal_number

    assert signal_number("SIGUSR1") == signal.SIGUSR1
    assert signal_number("SIGRTMIN") == signal.SIGRTMIN
    assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert signal_number("SIGRTMAX-2") == signal.SIGRTMAX - 2

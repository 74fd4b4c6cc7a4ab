"""Cluster DNS: the names of the specification, the wire format, forwarding."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from typing import Any

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import meta
from pynetes.network.dns import message
from pynetes.network.dns.forward import Forwarder, parse_server, resolv_conf_servers
from pynetes.network.dns.server import DnsServer
from pynetes.network.dns.zone import Zone

Obj = dict[str, Any]


def service(name: str, address: str = "None", ports: list[Obj] | None = None, **spec: Any) -> Obj:
    spec = {"type": "ClusterIP", "clusterIP": address, "ports": ports or []} | spec
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def piece(service_name: str, endpoints: list[Obj], ports: list[Obj]) -> Obj:
    labels = {"kubernetes.io/service-name": service_name}
    return {
        "metadata": {"name": f"{service_name}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }


HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


class Cluster:
    """A cache made of lists."""

    def __init__(self) -> None:
        self.all_services = [
            service("web", "10.96.0.20", [HTTP, {"name": "https", "port": 443, "protocol": "TCP"}]),
            service("db"),
            service("empty"),
            service("outside", type="ExternalName", externalName="www.example.com."),
            service("inside", type="ExternalName", externalName="web.default.svc.cluster.local"),
        ]
        self.all_slices = [
            piece(
                "db",
                [
                    {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
                    {"addresses": ["10.244.1.5"], "conditions": {}},
                    {"addresses": ["10.244.2.5"], "hostname": "db-2", "conditions": {"ready": False}},
                ],
                [{"name": "sql", "port": 5432, "protocol": "TCP"}],
            ),
            piece("web", [{"addresses": ["10.244.0.9"]}], [{"name": "http", "port": 8080}]),
        ]

    def service(self, namespace: str, name: str) -> Obj | None:
        return next((s for s in self.all_services if meta.key(s) == f"{namespace}/{name}"), None)

    def slices(self, namespace: str, name: str) -> Iterable[Obj]:
        return [s for s in self.all_slices if meta.labels(s)["kubernetes.io/service-name"] == name]

    def has_namespace(self, name: str) -> bool:
        return name in ("default", "kube-system")

    def services_at(self, address: str) -> Iterable[Obj]:
        return [s for s in self.all_services if s["spec"].get("clusterIP") == address]

    def slices_at(self, address: str) -> Iterable[Obj]:
        return [s for s in self.all_slices if any(address in e["addresses"] for e in s["endpoints"])]


def server(*upstream: tuple[str, int]) -> DnsServer:
    made = DnsServer(Zone("cluster.local", Cluster(), "10.96.0.10"), Forwarder([*upstream]))
    made.ready = True
    return made


async def ask(dns: DnsServer, name: str, kind: str = "A", *, udp: bool = True, **header: Any) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name, kind)
    for key, value in header.items():
        setattr(question.header, key, value)
    return dnslib.DNSRecord.parse(await exchange(dns, question.pack(), udp=udp))


async def exchange(dns: DnsServer, wire: bytes, *, udp: bool = True) -> bytes:
    answer = dns.answer_now(wire, udp=udp)
    if isinstance(answer, message.Query):
        answer = await dns.answer_later(answer, udp=udp)
    assert answer is not None
    return answer


def texts(records: list[Any]) -> set[str]:
    return {f"{dnslib.QTYPE[r.rtype]} {r.rdata}" for r in records}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", "A", {"A 10.96.0.20"}),
        ("WEB.Default.svc.Cluster.Local", "A", {"A 10.96.0.20"}),
        ("db.default.svc.cluster.local", "A", {"A 10.244.0.5", "A 10.244.1.5"}),
        ("db-0.db.default.svc.cluster.local", "A", {"A 10.244.0.5"}),
        ("10-244-1-5.db.default.svc.cluster.local", "A", {"A 10.244.1.5"}),
        ("10-244-0-9.default.pod.cluster.local", "A", {"A 10.244.0.9"}),
        ("_http._tcp.web.default.svc.cluster.local", "SRV", {"SRV 0 100 80 web.default.svc.cluster.local."}),
        (
            "_sql._tcp.db.default.svc.cluster.local",
            "SRV",
            {
                "SRV 0 50 5432 db-0.db.default.svc.cluster.local.",
                "SRV 0 50 5432 10-244-1-5.db.default.svc.cluster.local.",
            },
        ),
        ("20.0.96.10.in-addr.arpa", "PTR", {"PTR web.default.svc.cluster.local."}),
        ("5.0.244.10.in-addr.arpa", "PTR", {"PTR db-0.db.default.svc.cluster.local."}),
        ("5.1.244.10.in-addr.arpa", "PTR", {"PTR 10-244-1-5.db.default.svc.cluster.local."}),
        ("dns-version.cluster.local", "TXT", {'TXT "1.1.0"'}),
        ("ns.dns.cluster.local", "A", {"A 10.96.0.10"}),
        ("cluster.local", "NS", {"NS ns.dns.cluster.local."}),
        ("inside.default.svc.cluster.local", "A", {"CNAME web.default.svc.cluster.local.", "A 10.96.0.20"}),
        ("outside.default.svc.cluster.local", "CNAME", {"CNAME www.example.com."}),
    ],
)
async def test_names_that_exist(name: str, kind: str, expected: set[str]) -> None:
    answer = await ask(server(), name, kind)
    assert texts(answer.rr) == expected
    assert answer.header.rcode == 0 and answer.header.aa
    assert {r.ttl for r in answer.rr} == {5}


@pytest.mark.parametrize(
    "name",
    [
        "nope.default.svc.cluster.local",
        "web.nope.svc.cluster.local",
        "nope.svc.cluster.local",
        "db-2.db.default.svc.cluster.local",
        "empty.default.svc.cluster.local",
        "_nope._tcp.web.default.svc.cluster.local",
        "_http._udp.web.default.svc.cluster.local",
        "10-244-0-9.nope.pod.cluster.local",
        "not-an-address.default.pod.cluster.local",
        "www.example.com.default.svc.cluster.local",
        "www.example.com.cluster.local",
    ],
)
async def test_names_that_do_not_exist(name: str) -> None:
    answer = await ask(server(), name)
    assert answer.header.rcode == dnslib.RCODE.NXDOMAIN
    assert not answer.rr
    [soa] = answer.auth
    assert (str(soa.rname), soa.rtype, soa.ttl, soa.rdata.times[4]) == ("cluster.local.", dnslib.QTYPE.SOA, 5, 5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web.default.svc.cluster.local", "AAAA"),
        ("default.svc.cluster.local", "A"),
        ("svc.cluster.local", "A"),
        ("cluster.local", "A"),
        ("db.default.svc.cluster.local", "TXT"),
        ("10-244-0-9.default.pod.cluster.local", "AAAA"),
    ],
)
async def test_names_without_records_of_a_type_get_an_empty_answer(name: str, kind: str) -> None:
    answer = await ask(server(), name, kind)
    assert answer.header.rcode == 0 and not answer.rr
    assert [r.rtype for r in answer.auth] == [dnslib.QTYPE.SOA]


async def test_srv_answers_bring_the_addresses_of_their_targets() -> None:
    answer = await ask(server(), "_sql._tcp.db.default.svc.cluster.local", "SRV")
    assert {(str(r.rname), str(r.rdata)) for r in answer.ar} == {
        ("db-0.db.default.svc.cluster.local.", "10.244.0.5"),
        ("10-244-1-5.db.default.svc.cluster.local.", "10.244.1.5"),
    }


async def test_srv_without_a_port_name_lists_all_ports() -> None:
    answer = await ask(server(), "web.default.svc.cluster.local", "SRV")
    assert {r.rdata.port for r in answer.rr} == {80, 443}


async def test_the_question_comes_back_as_it_was_spelled() -> None:
    answer = await ask(server(), "wEb.DEFAULT.svc.cluster.local")
    assert str(answer.q.qname) == "wEb.DEFAULT.svc.cluster.local."


async def test_before_the_caches_are_filled_cluster_names_are_a_failure_not_a_denial() -> None:
    dns = server()
    dns.ready = False
    assert (await ask(dns, "web.default.svc.cluster.local")).header.rcode == dnslib.RCODE.SERVFAIL


async def test_an_answer_too_large_for_udp_is_cut_and_whole_over_tcp() -> None:
    dns = server()
    cache = dns._zone._cache
    assert isinstance(cache, Cluster)
    many = [{"addresses": [f"10.244.3.{i}"]} for i in range(1, 201)]
    cache.all_slices.append(piece("empty", many, [{"name": "x", "port": 1}]))
    cut = await ask(dns, "empty.default.svc.cluster.local")
    assert cut.header.tc and 0 < len(cut.rr) < 200 and len(cut.pack()) <= 512
    whole = await ask(dns, "empty.default.svc.cluster.local", udp=False)
    assert not whole.header.tc and len(whole.rr) == 200

    question = dnslib.DNSRecord.question("empty.default.svc.cluster.local")
    question.add_ar(dnslib.EDNS0(udp_len=4096))
    larger = dnslib.DNSRecord.parse(await exchange(dns, question.pack()))
    assert larger.header.tc and len(larger.rr) > len(cut.rr)
    assert [r.rtype for r in larger.ar] == [dnslib.QTYPE.OPT]


async def test_an_unknown_edns_version_is_refused() -> None:
    question = dnslib.DNSRecord.question("web.default.svc.cluster.local")
    question.add_ar(dnslib.EDNS0(version=1))
    answer = dnslib.DNSRecord.parse(await exchange(server(), question.pack()))
    assert (answer.header.rcode, answer.ar[0].ttl >> 24) == (0, 1)  # BADVERS is 16: 1 above the header's four bits


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (struct.pack("!6H", 7, 0, 0, 0, 0, 0), message.FORMERR),
        (struct.pack("!6H", 7, 0, 2, 0, 0, 0) + b"\1a\0\0\1\0\1" * 2, message.FORMERR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\1a\0\0", message.FORMERR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", message.FORMERR),
        (struct.pack("!6H", 7, 0x2000, 1, 0, 0, 0) + b"\1a\0\0\1\0\1", message.NOTIMP),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\1a\0\0\1\0\3", message.REFUSED),
    ],
    ids=["no question", "two questions", "cut off", "pointer to itself", "other opcode", "class CHAOS"],
)
async def test_what_is_no_proper_question(wire: bytes, code: int) -> None:
    answer = await exchange(server(), wire)
    assert answer[:2] == b"\0\7" and answer[3] & 0xF == code


@pytest.mark.parametrize("wire", [b"", b"x" * 11, struct.pack("!6H", 7, 0x8000, 1, 0, 0, 0)])
def test_what_gets_no_answer(wire: bytes) -> None:
    assert server().answer_now(wire, udp=True) is None


@given(st.binary(max_size=300))
def test_no_datagram_breaks_the_server(wire: bytes) -> None:
    server().answer_now(wire, udp=True)


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True), max_size=6))
def test_names_survive_the_wire(labels: list[str]) -> None:
    name = ".".join(labels)
    wire = message.encode_name(name)
    assert message.decode_name(wire, 0) == (name, len(wire))


# --- forwarding ---------------------------------------------------------------------------------------------------


class Upstream(asyncio.DatagramProtocol):
    """A name server that knows `www.example.com` and says how often it was asked; `big.` only over TCP."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def answer(self, data: bytes, *, tcp: bool) -> bytes:
        query = dnslib.DNSRecord.parse(data)
        name = str(query.q.qname).lower()
        self.asked.append(name)
        reply = query.reply()
        if name == "big." and not tcp:
            reply.header.tc = 1
        elif name in ("www.example.com.", "big."):
            reply.add_answer(*dnslib.RR.fromZone(f"{name} 300 A 192.0.2.1"))
        else:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            reply.add_auth(*dnslib.RR.fromZone("example.com. 60 SOA ns.example.com. m.example.com. 1 2 3 4 20"))
        return reply.pack()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.silent:
            self.transport.sendto(self.answer(data, tcp=False), addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        reply = self.answer(data, tcp=True)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(made.serve_tcp, "127.0.0.1", 0)
    made.port = tcp.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a test's own notebook
    transport, _ = await loop.create_datagram_endpoint(
        lambda: made,
        local_addr=("127.0.0.1", made.port),  # type: ignore[attr-defined]  # the same
    )
    yield made
    transport.close()
    tcp.close()


def forwarding(upstream: Upstream) -> DnsServer:
    return server(("127.0.0.1", upstream.port))  # type: ignore[attr-defined]  # a test's own notebook


async def test_names_outside_the_cluster_are_forwarded_and_remembered(upstream: Upstream) -> None:
    dns = forwarding(upstream)
    for _ in range(3):
        answer = await ask(dns, "www.Example.com")
        assert texts(answer.rr) == {"A 192.0.2.1"}
        assert answer.header.ra and not answer.header.aa
        assert str(answer.q.qname) == "www.Example.com."
    assert upstream.asked == ["www.example.com."]


async def test_denials_are_remembered_too(upstream: Upstream) -> None:
    dns = forwarding(upstream)
    for _ in range(2):
        assert (await ask(dns, "nope.example.com")).header.rcode == dnslib.RCODE.NXDOMAIN
    assert len(upstream.asked) == 1


async def test_many_who_ask_the_same_at_once_ask_upstream_once(upstream: Upstream) -> None:
    dns = forwarding(upstream)
    await asyncio.gather(*(ask(dns, "www.example.com", id=i) for i in range(20)))
    assert len(upstream.asked) == 1


async def test_a_truncated_answer_is_fetched_over_tcp(upstream: Upstream) -> None:
    assert texts((await ask(forwarding(upstream), "big")).rr) == {"A 192.0.2.1"}


async def test_an_external_name_brings_its_address_along(upstream: Upstream) -> None:
    answer = await ask(forwarding(upstream), "outside.default.svc.cluster.local")
    assert texts(answer.rr) == {"CNAME www.example.com.", "A 192.0.2.1"}
    assert answer.header.rcode == 0


def test_an_address_behind_a_service_with_an_address_has_no_reverse_name_of_its_own() -> None:
    cluster = Cluster()
    zone = Zone("cluster.local", cluster, "10.96.0.10")
    assert zone.reverse("9.0.244.10.in-addr.arpa") is None
    cluster.all_slices[1]["endpoints"][0]["hostname"] = "a"
    answer = zone.reverse("9.0.244.10.in-addr.arpa")
    assert answer is not None
    assert [record.data for record in answer.records] == [message.encode_name("a.web.default.svc.cluster.local")]


async def test_reverse_names_that_are_not_the_clusters_are_forwarded(upstream: Upstream) -> None:
    await ask(forwarding(upstream), "1.2.0.192.in-addr.arpa", "PTR")
    assert upstream.asked == ["1.2.0.192.in-addr.arpa."]


async def test_cluster_names_are_never_forwarded(upstream: Upstream) -> None:
    await ask(forwarding(upstream), "nope.default.svc.cluster.local")
    assert upstream.asked == []


async def test_without_upstream_outside_names_fail_at_once() -> None:
    answer = await ask(server(), "www.example.com")
    assert answer.header.rcode == dnslib.RCODE.SERVFAIL and not answer.header.ra


async def test_a_dead_upstream_is_passed_over(upstream: Upstream) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()
    dns = server(dead, ("127.0.0.1", upstream.port))  # type: ignore[attr-defined]  # a test's own notebook
    assert texts((await ask(dns, "www.example.com")).rr) == {"A 192.0.2.1"}


async def test_udp_and_tcp_sockets_answer(upstream: Upstream) -> None:
    dns = forwarding(upstream)
    port = await dns.listen("127.0.0.1", 0)
    try:
        question = dnslib.DNSRecord.question("web.default.svc.cluster.local")
        for tcp in (False, True):
            wire = await asyncio.to_thread(question.send, "127.0.0.1", port, tcp=tcp, timeout=2)
            assert texts(dnslib.DNSRecord.parse(wire).rr) == {"A 10.96.0.20"}
        outside = dnslib.DNSRecord.question("www.example.com")
        wire = await asyncio.to_thread(outside.send, "127.0.0.1", port, tcp=False, timeout=2)
        assert texts(dnslib.DNSRecord.parse(wire).rr) == {"A 192.0.2.1"}
    finally:
        dns.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("192.0.2.1", ("192.0.2.1", 53)), ("192.0.2.1:5353", ("192.0.2.1", 5353)), ("[fd00::1]:54", ("fd00::1", 54))],
)
def test_upstream_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_server(text) == expected


def test_servers_of_a_resolv_conf() -> None:
    assert resolv_conf_servers("search a b\nnameserver 192.0.2.1\n# nameserver x\nnameserver fe80::1%eth0\n") == [
        ("192.0.2.1", 53),
        ("fe80::1", 53),
    ]

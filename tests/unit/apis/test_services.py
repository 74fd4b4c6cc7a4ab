"""Services: defaults, changes of type, what contradicts what."""

import pytest

from pynetes.apis.registry import strategy_for
from pynetes.machinery import resources


def service(*ports, **spec):
    return {"spec": {"ports": list(ports) or [{"port": 80}], "clusterIP": "10.96.0.9", **spec}}


def test_a_minimal_service_gets_upstreams_defaults(create):
    made = create("services", {"spec": {"ports": [{"port": 80}]}})
    assert made.errors == []
    assert made.obj["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert made.obj["status"] == {"loadBalancer": {}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}),
        ({"type": "LoadBalancer"}, {"allocateLoadBalancerNodePorts": True, "externalTrafficPolicy": "Cluster"}),
        ({"externalIPs": ["1.2.3.4"]}, {"externalTrafficPolicy": "Cluster"}),
        ({"sessionAffinity": "ClientIP"}, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        ({"clusterIP": "10.96.0.9"}, {"clusterIPs": ["10.96.0.9"]}),
    ],
)
def test_defaults_by_type(create, given, expected):
    spec = create("services", service(**given)).obj["spec"]
    assert {field: spec.get(field) for field in expected} == expected


REFUSED = [
    ({"spec": {}}, ["spec.ports: Required value"]),
    (
        service({"port": 80}, {"port": 81}),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ),
    (
        service({"name": "a", "port": 80}, {"name": "a", "port": 81}),
        ['spec.ports[1].name: Duplicate value: "a"'],
    ),
    (
        service({"port": 0}),
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    ),
    (
        service({"port": 80, "nodePort": 30000}),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    (
        service({"port": 80, "protocol": "ICMP"}),
        ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        service(type="Odd"),
        [
            'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
            '"NodePort"'
        ],
    ),
    (
        service(type="NodePort", clusterIP="None"),
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
    (
        {"spec": {"type": "ExternalName"}},
        ["spec.externalName: Required value"],
    ),
    (
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}}),
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and "
            "less than 86400"
        ],
    ),
    (
        service(externalTrafficPolicy="Local"),
        [
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
        ],
    ),
    (
        service(allocateLoadBalancerNodePorts=True),
        [
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ],
    ),
    (
        service(externalIPs=["127.0.0.1"]),
        [
            'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ],
    ),
    (
        service(selector={"a b": "c"}),
        [
            "spec.selector: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ],
    ),
]


@pytest.mark.parametrize(("given", "expected"), REFUSED, ids=[errors[0][:50] for _, errors in REFUSED])
def test_what_is_refused(create, given, expected):
    assert create("services", given).errors == expected


def test_a_name_is_one_label_that_may_begin_with_a_digit(create):
    assert create("services", service({"port": 80}) | {"metadata": {"name": "1st"}}).errors == []
    (error,) = create("services", service({"port": 80}) | {"metadata": {"name": "A"}}).errors
    assert error.startswith('metadata.name: Invalid value: "A": a lowercase RFC 1123 label must consist of')


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"externalIPs": ["192.0.2.1"]},
            ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"],
        ),
        (
            {"clusterIP": "None", "externalIPs": ["192.0.2.1"], "sessionAffinity": "ClientIP", "loadBalancerIP": "::1"},
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        (
            {"type": "ExternalName", "externalName": "a.b", "externalIPs": ["192.0.2.1"]},
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
        ({"externalName": "a.b"}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        (
            {"trafficDistribution": "PreferClose"},
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerIP": "010.0.0.1", "loadBalancerSourceRanges": ["FD00::/8"]},
            [
                'spec.loadBalancerIP: non-standard IP address "010.0.0.1" will be considered invalid in a future '
                'Kubernetes release: use "10.0.0.1"',
                'spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format '
                '("fd00::/8")',
            ],
        ),
        (
            {"clusterIPs": ["FD00::1"]},
            ['spec.clusterIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'],
        ),
    ],
)
def test_warnings(spec, expected):
    kind = strategy_for(resources.lookup("services"))
    obj = service({"port": 80}, **spec)
    kind.default(obj)
    assert kind.warnings(obj) == expected


@pytest.fixture
def node_port(create):
    made = create("services", service({"port": 80, "nodePort": 30080}, type="NodePort")).obj
    made["spec"]["ipFamilies"], made["spec"]["ipFamilyPolicy"] = ["IPv4"], "SingleStack"
    return made


def test_an_update_that_leaves_allocated_values_out_keeps_them(update, node_port):
    def change(s):
        s["spec"] = {"type": "NodePort", "ports": [{"port": 80}]}

    outcome = update("services", node_port, change)
    assert outcome.errors == []
    assert outcome.obj["spec"]["clusterIP"] == "10.96.0.9"
    assert outcome.obj["spec"]["clusterIPs"] == ["10.96.0.9"]
    assert outcome.obj["spec"]["ports"][0]["nodePort"] == 30080


def test_the_address_may_not_change(update, node_port):
    outcome = update("services", node_port, lambda s: s["spec"].update(clusterIP="10.96.0.10"))
    assert outcome.errors == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: may not change once set']


def test_turning_into_a_cluster_ip_drops_what_only_node_ports_have(update, node_port):
    outcome = update("services", node_port, lambda s: s["spec"].update(type="ClusterIP"))
    assert outcome.errors == []
    assert "nodePort" not in outcome.obj["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in outcome.obj["spec"]


def test_turning_into_an_external_name_drops_the_address(update, node_port):
    outcome = update("services", node_port, lambda s: s["spec"].update(type="ExternalName", externalName="a.b"))
    assert outcome.errors == []
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "internalTrafficPolicy"} & outcome.obj["spec"].keys()


def test_losing_the_balancer_clears_its_status(update, create):
    stored = create("services", service(type="LoadBalancer")).obj
    stored["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    outcome = update("services", stored, lambda s: s["spec"].update(type="ClusterIP"))
    assert outcome.errors == []
    assert outcome.obj["status"] == {"loadBalancer": {}}


def test_an_ingress_address_needs_a_balancer(update, node_port):
    def change(s):
        s["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}

    assert update("services", node_port, change, "status").errors == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is LoadBalancer"
    ]


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        ({"ip": "192.0.2.1"}, []),
        ({"ip": "192.0.2.1", "ipMode": "Proxy", "hostname": "a.example"}, []),
        (
            {"ip": "192.0.2.1", "ipMode": "Odd"},
            ['ingress[0].ipMode: Unsupported value: "Odd": supported values: "Proxy", "VIP"'],
        ),
        ({"ipMode": "VIP"}, ["ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"]),
        ({"ip": "192.0.2.01"}, ['ingress[0].ip: Invalid value: "192.0.2.01": must not have leading 0s']),
        (
            {"hostname": "192.0.2.1"},
            ['ingress[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address'],
        ),
    ],
)
def test_what_a_load_balancers_status_may_say(create, update, ingress, expected):
    stored = create("services", service({"port": 80}, type="LoadBalancer")).obj

    def change(obj):
        obj["status"] = {"loadBalancer": {"ingress": [ingress]}}

    found = update("services", stored, change, "status").errors
    assert found == [f"status.loadBalancer.{each}" for each in expected]

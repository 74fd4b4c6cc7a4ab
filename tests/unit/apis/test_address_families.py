"""Which address families a service gets, by what it asks and what the cluster has."""

import ipaddress
from typing import Any

import pytest

from pynetes.apiserver.allocators import default_families
from pynetes.machinery.errors import StatusError

FOUR, SIX = ipaddress.ip_network("10.96.0.0/16"), ipaddress.ip_network("fd00::/108")
SINGLE = {"IPv4": [FOUR]}
DUAL = {"IPv4": [FOUR], "IPv6": [SIX]}
HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"]}
BOTH = {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00::5"], "ipFamilies": ["IPv4", "IPv6"]}
SIX_FIRST = {"IPv6": [SIX], "IPv4": [FOUR]}


def settled(cluster: dict[str, Any], old: dict[str, Any] | None = None, **spec: Any) -> tuple[list[str], str]:
    service = {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "selector": {"a": "b"}, **spec}}
    default_families(service, cluster, old)
    return service["spec"]["ipFamilies"], service["spec"]["ipFamilyPolicy"]


@pytest.mark.parametrize(
    ("cluster", "spec", "expected"),
    [
        (SINGLE, {}, (["IPv4"], "SingleStack")),
        (DUAL, {}, (["IPv4"], "SingleStack")),
        (SIX_FIRST, {}, (["IPv6"], "SingleStack")),
        (DUAL, {"ipFamilies": ["IPv6"]}, (["IPv6"], "SingleStack")),
        (DUAL, {"ipFamilyPolicy": "PreferDualStack"}, (["IPv4", "IPv6"], "PreferDualStack")),
        (SINGLE, {"ipFamilyPolicy": "PreferDualStack"}, (["IPv4"], "PreferDualStack")),
        (DUAL, {"ipFamilyPolicy": "RequireDualStack"}, (["IPv4", "IPv6"], "RequireDualStack")),
        (
            DUAL,
            {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]},
            (["IPv6", "IPv4"], "RequireDualStack"),
        ),
        (DUAL, {"clusterIP": "fd00::5", "clusterIPs": ["fd00::5"]}, (["IPv6"], "SingleStack")),
        (SINGLE, HEADLESS, (["IPv4"], "SingleStack")),
        (SINGLE, HEADLESS | {"selector": {}}, (["IPv4", "IPv6"], "RequireDualStack")),
    ],
)
def test_families(cluster, spec, expected):
    assert settled(cluster, **spec) == expected


@pytest.mark.parametrize(
    ("cluster", "spec", "message"),
    [
        (SINGLE, {"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            SINGLE,
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack '
            "services",
        ),
        (
            SINGLE,
            {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
        (
            SINGLE,
            {"ipFamilies": ["IPv4", "IPv6"]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when "
            "multiple IP families are specified",
        ),
        (
            SINGLE,
            {"clusterIP": "foo", "clusterIPs": ["foo"]},
            'spec.clusterIPs[0]: Invalid value: "foo": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
    ],
)
def test_families_that_cannot_be_had(cluster, spec, message):
    with pytest.raises(StatusError) as raised:
        settled(cluster, **spec)
    assert raised.value.message == f'Service "s" is invalid: {message}'


def test_going_back_to_one_family_keeps_the_first():
    service = {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ipFamilyPolicy": "SingleStack", **BOTH}}
    default_families(service, DUAL, {"spec": {"ipFamilyPolicy": "PreferDualStack", **BOTH}})
    assert service["spec"]["ipFamilies"] == ["IPv4"]
    assert service["spec"]["clusterIPs"] == ["10.96.0.5"]


def test_a_second_address_does_not_go_by_being_left_out():
    old = {"spec": {"type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack", **BOTH}}
    with pytest.raises(StatusError, match="must be 'SingleStack' to release the secondary cluster IP"):
        settled(DUAL, old, **BOTH | {"ipFamilyPolicy": "PreferDualStack", "clusterIPs": ["10.96.0.5"]})


def test_a_policy_of_both_families_needs_both_also_later():
    one = {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ipFamilies": ["IPv4"]}
    old = {"spec": {"type": "ClusterIP", "ipFamilyPolicy": "SingleStack", **one}}
    with pytest.raises(StatusError, match="this cluster is not configured for dual-stack services"):
        settled(SINGLE, old, **one | {"ipFamilyPolicy": "RequireDualStack"})


def test_what_prefers_two_families_keeps_the_one_it_was_given():
    spec = {"ipFamilyPolicy": "PreferDualStack", "clusterIPs": ["10.96.0.5"], "ipFamilies": ["IPv4"]}
    old = {"spec": {"type": "ClusterIP", "selector": {"a": "b"}, **spec}}
    assert settled(DUAL, old, **spec) == (["IPv4"], "PreferDualStack")

"""Names, keys and addresses."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import names

characters = st.text(st.sampled_from("aZ09-._/*% \n"), max_size=70)


@given(characters)
def test_labels_are_what_rfc_1123_says(text: str) -> None:
    sound = re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", text) is not None and len(text) <= 63
    assert (names.dns1123_label(text) == []) == sound


@given(characters)
def test_subdomains_are_labels_joined_by_dots(text: str) -> None:
    parts = text.split(".")
    sound = all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in parts) and len(text) <= 253
    assert (names.dns1123_subdomain(text) == []) == sound


@given(characters, characters)
def test_a_qualified_name_is_sound_when_its_parts_are(prefix: str, short: str) -> None:
    whole = names.qualified_name(f"{prefix}/{short}")
    if "/" in prefix + short:
        assert whole[0].startswith("a valid label key must consist of")
    else:
        assert (whole == []) == (
            bool(prefix) and not names.dns1123_subdomain(prefix) and not names.qualified_name(short)
        )


@given(st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None))
def test_every_address_is_an_address_and_a_host_route_a_cidr(address: IPv4Address | IPv6Address) -> None:
    assert names.ip(str(address)) == []
    assert names.cidr(f"{address}/{address.max_prefixlen}") == []
    assert (names.ipv4(str(address)) == []) != (names.ipv6(str(address)) == [])


@pytest.mark.parametrize(
    ("check", "text", "message"),
    [
        (names.dns1123_label, "a.b", "must not contain dots"),
        (
            names.dns1123_label,
            "A",
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
            " end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
            " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (names.dns1123_label, "a" * 64, "must be no more than 63 bytes"),
        (
            names.dns1123_subdomain,
            "-",
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
            " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
            r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            names.dns1035_label,
            "1a",
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
            " character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for"
            " validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        (names.qualified_name, "/a", "prefix part must be non-empty"),
        (names.qualified_name, "a/" + "b" * 64, "name part must be no more than 63 bytes"),
        (names.port_name, "Http", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
        (names.port_name, "123", "must contain at least one letter (a-z)"),
        (names.port_name, "a--b", "must not contain consecutive hyphens"),
        (names.port_name, "a-", "must not begin or end with a hyphen"),
        (names.config_key, "..a", "must not start with '..'"),
        (names.ip, "10.0.0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        (names.cidr, "10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        (names.path_segment, "a/b", "may not contain '/'"),
        (names.path_segment, "..", "may not be '..'"),
        (
            names.relaxed_env_var_name,
            "a=b",
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
        (names.ip, "10.0.0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        (names.ip, "010.0.0.1", "must not have leading 0s"),
        (names.ip, "10.0.0.01", "must not have leading 0s"),
        (names.ip, "::ffff:10.0.0.1", "must not be an IPv4-mapped IPv6 address"),
        (names.cidr, "10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        (names.cidr, "10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        (names.cidr, "010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
        (names.cidr, "10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        (names.cidr, "::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        (names.cidr, "10.1.0.0/8", "must not have bits set beyond the prefix length"),
    ],
)
def test_the_words_are_upstreams(check: Callable[[str], list[str]], text: str, message: str) -> None:
    assert check(text) == [message]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.label_value, ""),
        (names.label_value, "a_b.c-1"),
        (names.qualified_name, "example.com/My.Name_1"),
        (names.wildcard_subdomain, "*.example.com"),
        (names.port_name, "http-2"),
        (names.relaxed_env_var_name, "1 odd name!"),
        (names.config_key, ".hidden"),
        (names.percent, "25%"),
        (names.ip, "10.0.0.1"),
        (names.ip, "FE80:0:0:0:0:0:0:0abc"),
        (names.ip, "::1.2.3.4"),
        (names.cidr, "10.0.0.0/8"),
        (names.cidr, "0.0.0.0/0"),
        (names.cidr, "10.0.0.1/32"),
        (names.cidr, "fd00:0abc::/64"),
        (names.domain_prefixed_path, "example.com/a/b"),
        (names.fully_qualified_domain_name, "example.com."),
        (names.path_segment, "system:node:a"),
    ],
)
def test_sound_texts(check: Callable[[str], list[str]], text: str) -> None:
    assert check(text) == []


def test_a_trailing_newline_is_not_overlooked() -> None:
    assert names.dns1123_label("a\n")
    assert names.qualified_name("a\n")


def test_a_generated_names_prefix_may_end_in_a_dash() -> None:
    assert names.dns1123_label(names.name_prefix("web-")) == []
    assert names.dns1123_label(names.name_prefix("-"))

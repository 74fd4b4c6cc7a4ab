"""What names, keys and addresses may look like.

Every function takes a text and returns what is wrong with it, in upstream's words: an empty list means that nothing
is. The rules are small regular expressions; the words carry the expression, so both stand in one table row.
"""

import ipaddress
import re
from dataclasses import dataclass

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_DNS1123 = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_DNS1123}(\.{_DNS1123})*"
_DNS1123_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"


def max_length_message(limit: int) -> str:
    """The message for a text that is too long."""
    return f"must be no more than {limit} bytes"


def range_message(low: int, high: int) -> str:
    """The message for a number out of its range."""
    return f"must be between {low} and {high}, inclusive"


NON_EMPTY = "must be non-empty"


@dataclass(frozen=True)
class Rule:
    """A pattern, the words for breaking it, examples of keeping it, and the longest text that may."""

    pattern: str
    words: str
    examples: tuple[str, ...]
    limit: int | None = None

    def message(self) -> str:
        """Upstream's sentence for a text that does not match, odd spacing included."""
        examples = " or ".join(f"'{example}', " for example in self.examples)
        return f"{self.words} ({f'e.g. {examples}' if examples else ''}regex used for validation is '{self.pattern}')"

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return re.fullmatch(self.pattern, text) is not None

    def check(self, text: str) -> list[str]:
        """What is wrong with the text."""
        errors = []
        if self.limit is not None and len(text.encode()) > self.limit:
            errors.append(max_length_message(self.limit))
        if not self.matches(text):
            errors.append(self.message())
        return errors


_CHARACTERS = "must consist of lower case alphanumeric characters"
_ENDS = "must start and end with an alphanumeric character"

DNS1123_LABEL = Rule(
    _DNS1123, f"a lowercase RFC 1123 label {_CHARACTERS} or '-', and {_ENDS}", ("my-name", "123-abc"), LABEL_MAX
)
DNS1123_SUBDOMAIN = Rule(
    _SUBDOMAIN,
    f"a lowercase RFC 1123 subdomain {_CHARACTERS}, '-' or '.', and {_ENDS}",
    ("example.com",),
    SUBDOMAIN_MAX,
)
DNS1123_SUBDOMAIN_UNDERSCORE = Rule(
    rf"{_DNS1123_UNDERSCORE}(\.{_DNS1123_UNDERSCORE})*",
    f"a lowercase RFC 1123 subdomain {_CHARACTERS}, '_', '-' or '.', and {_ENDS}",
    ("example.com",),
    SUBDOMAIN_MAX,
)
WILDCARD_SUBDOMAIN = Rule(
    rf"\*\.{_SUBDOMAIN}",
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
    " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    ("*.example.com",),
    SUBDOMAIN_MAX,
)
DNS1035_LABEL = Rule(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    f"a DNS-1035 label {_CHARACTERS} or '-', start with an alphabetic character, and end with an alphanumeric"
    " character",
    ("my-name", "abc-123"),
    LABEL_MAX,
)
QUALIFIED_NAME_PART = Rule(
    _QUALIFIED,
    f"must consist of alphanumeric characters, '-', '_' or '.', and {_ENDS}",
    ("MyName", "my.name", "123-abc"),
)
LABEL_VALUE = Rule(
    f"({_QUALIFIED})?",
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and {_ENDS}",
    ("MyValue", "my_value", "12345"),
    LABEL_MAX,
)
C_IDENTIFIER = Rule(
    "[A-Za-z_][A-Za-z0-9_]*",
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    " characters or '_'",
    ("my_name", "MY_NAME", "MyName"),
)
ENV_VAR_NAME = Rule(
    "[-._a-zA-Z][-._a-zA-Z0-9]*",
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not"
    " start with a digit",
    ("my.env-name", "MY_ENV.NAME", "MyEnvName1"),
)
CONFIG_KEY = Rule(
    "[-._a-zA-Z0-9]+",
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ("key.name", "KEY_NAME", "key-name"),
    SUBDOMAIN_MAX,
)
PERCENT = Rule("[0-9]+%", "a valid percent string must be a numeric string followed by an ending '%'", ("1%", "93%"))
HTTP_HEADER = Rule(
    "[-A-Za-z0-9]+", "a valid HTTP header must consist of alphanumeric characters or '-'", ("X-Header-Name",)
)
HTTP_PATH = Rule(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", "Invalid path", ())


def dns1123_label(text: str) -> list[str]:
    """A DNS label: the names of namespaces, containers, volumes."""
    errors = [max_length_message(LABEL_MAX)] if len(text.encode()) > LABEL_MAX else []
    if not DNS1123_LABEL.matches(text):
        errors.append("must not contain dots" if DNS1123_SUBDOMAIN.matches(text) else DNS1123_LABEL.message())
    return errors


def dns1123_subdomain(text: str) -> list[str]:
    """A DNS name: the names of most objects."""
    return DNS1123_SUBDOMAIN.check(text)


def dns1123_subdomain_underscore(text: str) -> list[str]:
    """A DNS name whose labels may have underscores: search paths in a pod's dnsConfig."""
    return DNS1123_SUBDOMAIN_UNDERSCORE.check(text)


def wildcard_subdomain(text: str) -> list[str]:
    """`*.` before a DNS name: an ingress host."""
    return WILDCARD_SUBDOMAIN.check(text)


def dns1035_label(text: str) -> list[str]:
    """A DNS label that starts with a letter: the names of services."""
    return DNS1035_LABEL.check(text)


def path_segment(text: str) -> list[str]:
    """What can stand between two slashes of a URL: the names of RBAC objects."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in text]


def name_prefix(text: str) -> str:
    """A `generateName` shaped so that the rule for whole names can judge it: a trailing dash is fine."""
    return f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text


def qualified_name(text: str) -> list[str]:
    """A label or annotation key, a resource name, a finalizer: `[prefix/]name`."""
    prefix, slash, short = text.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {QUALIFIED_NAME_PART.message()} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    errors: list[str] = []
    if slash and not prefix:
        errors.append(f"prefix part {NON_EMPTY}")
    elif slash:
        errors += [f"prefix part {error}" for error in dns1123_subdomain(prefix)]
    if not short:
        errors.append(f"name part {NON_EMPTY}")
    elif len(short.encode()) > LABEL_MAX:
        errors.append(f"name part {max_length_message(LABEL_MAX)}")
    if not QUALIFIED_NAME_PART.matches(short):
        errors.append(f"name part {QUALIFIED_NAME_PART.message()}")
    return errors


def label_value(text: str) -> list[str]:
    """The value of a label."""
    return LABEL_VALUE.check(text)


def _dots(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def relaxed_env_var_name(text: str) -> list[str]:
    """The form that pods accept: any printable ASCII but `=`."""
    if not text:
        return [f"environment variable name {NON_EMPTY}"]
    if any(not " " <= character <= "~" or character == "=" for character in text):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    return CONFIG_KEY.check(text) + _dots(text)


def percent(text: str) -> list[str]:
    """`25%`."""
    return PERCENT.check(text)


def http_header_name(text: str) -> list[str]:
    """The name of an HTTP header, for probes."""
    return HTTP_HEADER.check(text)


def port_number(port: int) -> list[str]:
    """1 to 65535."""
    return in_range(port, 1, 65535)


def in_range(number: int, low: int, high: int) -> list[str]:
    """A number between two others, inclusive."""
    return [] if low <= number <= high else [range_message(low, high)]


def user_id(number: int) -> list[str]:
    """A UID or GID that Linux knows."""
    return in_range(number, 0, 0xFFFFFFFF)


def port_name(text: str) -> list[str]:
    """An IANA service name: `http`, `web-2`."""
    errors = [max_length_message(15)] if len(text) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", text):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        errors.append("must contain at least one letter (a-z)")
    if "--" in text:
        errors.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, as forgiving as Go once was about leading zeros; None if it is none."""
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", text, re.ASCII):
        text = ".".join(str(int(part)) for part in text.split("."))
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_cidr(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """An address with a prefix length, leading zeros or not; None if it is none."""
    head, slash, bits = text.partition("/")
    address = parse_ip(head)
    if not slash or address is None or not re.fullmatch(r"\d+", bits, re.ASCII):
        return None
    try:
        return ipaddress.ip_interface(f"{address}/{int(bits)}")
    except ValueError:
        return None


def ip(text: str) -> list[str]:
    """An IPv4 or IPv6 address that everybody reads alike (KEP-4858)."""
    address = parse_ip(text)
    if address is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if _has_leading_zeros(text):
        return ["must not have leading 0s"]
    return ["must not be an IPv4-mapped IPv6 address"] if _is_mapped(address) else []


def _has_leading_zeros(address: str) -> bool:
    """Whether a part of the dotted decimal form has some; those of IPv6's hexadecimal groups harm nobody."""
    dotted = address.rpartition(":")[2]
    return "." in dotted and any(len(part) > 1 and part.startswith("0") for part in dotted.split("."))


def _is_mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.version == 6 and address.ipv4_mapped is not None


def ipv4(text: str) -> list[str]:
    """An IPv4 address."""
    return [] if isinstance(parse_ip(text), ipaddress.IPv4Address) else ["must be a valid IPv4 address"]


def ipv6(text: str) -> list[str]:
    """An IPv6 address."""
    return [] if isinstance(parse_ip(text), ipaddress.IPv6Address) else ["must be a valid IPv6 address"]


def cidr(text: str) -> list[str]:
    """A CIDR block that everybody reads alike (KEP-4858)."""
    interface = parse_cidr(text)
    if interface is None:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    address, _, bits = text.partition("/")
    if _has_leading_zeros(address) or bits != str(int(bits)):
        return ["must not have leading 0s in IP or prefix length"]
    if _is_mapped(interface.ip):
        return ["must not have an IPv4-mapped IPv6 address"]
    return ["must not have bits set beyond the prefix length"] if interface.ip != interface.network[0] else []


def domain_prefixed_path(text: str) -> list[str]:
    """`example.com/path`: CSR signer names, job's managedBy."""
    host, slash, path = text.partition("/")
    if not slash or not host or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    errors = dns1123_subdomain(host)
    if not HTTP_PATH.matches(path):
        errors.append(HTTP_PATH.message())
    return errors


def fully_qualified_domain_name(text: str) -> list[str]:
    """A domain of two or more labels; a trailing dot is fine."""
    text = text.removesuffix(".")
    errors = dns1123_subdomain(text)
    if not errors and "." not in text:
        errors = ["should be a domain with at least two segments separated by dots"]
    return errors or [error for part in text.split(".") for error in dns1123_label(part)]

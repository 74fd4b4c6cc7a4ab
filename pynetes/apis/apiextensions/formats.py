"""The formats that a schema may ask of a string. An unknown format asks nothing."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

from pynetes.machinery import clock, names

_HOSTNAME = re.compile(
    r"([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9]))*"
)
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*|0")
_WORDY_DURATION = re.compile(
    r"((\d+)\s*(ns|nanos|nanoseconds?|us|micros?|microseconds?|ms|millis?|milliseconds?|s|seconds?|m|minutes?|h|hours?|"
    r"d|days?|w|weeks?)\s*)+"
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:?\d\d)?")


def _shape(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _succeeds(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _date_time(text: str) -> object:
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    return clock.parse_time(text.upper().replace(" ", "T")) if text[-1] in "Zz" else text


def _duration(text: str) -> bool:
    return bool(_DURATION.fullmatch(text) or _WORDY_DURATION.fullmatch(text))


def _uuid(version: str) -> Callable[[str], bool]:
    variant = "[89abAB][0-9a-fA-F]{3}" if version in "45" else "[0-9a-fA-F]{4}"
    return _shape(rf"[0-9a-fA-F]{{8}}-?[0-9a-fA-F]{{4}}-?{version}[0-9a-fA-F]{{3}}-?{variant}-?[0-9a-fA-F]{{12}}")


def _isbn10(text: str) -> bool:
    digits = re.sub("[- ]", "", text)
    if not re.fullmatch(r"\d{9}[\dXx]", digits):
        return False
    return sum((10 - at) * (10 if each in "Xx" else int(each)) for at, each in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub("[- ]", "", text)
    return (
        bool(re.fullmatch(r"\d{13}", digits))
        and sum(int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(digits)) % 10 == 0
    )


def _credit_card(text: str) -> bool:
    digits = re.sub("[- ]", "", text)
    if not re.fullmatch(r"\d{13,19}", digits):
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _shape("[0-9a-fA-F]{24}"),
    "byte": _succeeds(lambda text: base64.b64decode(text, validate=True)),
    "cidr": _succeeds(lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else int("no prefix")),
    "creditcard": _credit_card,
    "date": _succeeds(date.fromisoformat),
    "date-time": _succeeds(_date_time),
    "datetime": _succeeds(_date_time),
    "duration": _duration,
    "email": _shape(r"[^@\s<>]+@[^@\s<>]+"),
    "hexcolor": _shape("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _succeeds(ipaddress.IPv4Address),
    "ipv6": _succeeds(ipaddress.IPv6Address),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8s-long-name": lambda text: not names.dns1123_subdomain(text),
    "k8s-short-name": lambda text: not names.dns1123_label(text),
    "mac": _shape("([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}"),
    "rgbcolor": _shape(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "ssn": _shape(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": lambda text: bool(urlsplit(text).scheme) or text.startswith("/"),
    "uuid": _shape("[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}


def fits(form: str, text: str) -> bool:
    """Whether a text has a format."""
    check = FORMATS.get(form.lower().replace("date_time", "date-time"))
    return check is None or check(text)

"""Quantities: `100m`, `1.5Gi`, `12e6`, exactly.

Upstream keeps nothing finer than a billionth, so a quantity is a whole number of billionths (`nanos`) and the form it
was written in, which its canonical text keeps: decimal suffixes, binary suffixes or an exponent. Finer values are
rounded up at the door, as upstream does: who asked for something gets something. Parsing is cached, since the same
few texts come again and again.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Form = Literal["decimal", "binary", "exponent"]

NANO = 10**9
_LIMIT = (2**63 - 1) * NANO

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_WRONG = "unable to parse quantity's suffix"
NUMBER_WRONG = "unable to parse numeric part of quantity"

_PATTERN = re.compile(r"([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_NUMBER = re.compile(r"([0-9]*)\.?([0-9]*)")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_SUFFIX = {0: ""} | {power: suffix for suffix, power in _BINARY.items()}


@dataclass(frozen=True, slots=True, order=False)
class Quantity:
    """An exact amount; compares and adds by value, prints in canonical form."""

    nanos: int
    form: Form = "decimal"

    def __str__(self) -> str:
        return _canonical(self)

    def __eq__(self, other: object) -> bool:
        return self.nanos == other.nanos if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: "Quantity") -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: "Quantity") -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: "Quantity") -> bool:
        return self.nanos >= other.nanos

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nanos, self.form)

    def __add__(self, other: "Quantity") -> "Quantity":
        """The sum, written as the left side is, or as the right side if the left is zero."""
        return Quantity(self.nanos + other.nanos, self.form if self.nanos else other.form)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self.form if self.nanos else other.form)

    def __mul__(self, factor: int) -> "Quantity":
        return Quantity(self.nanos * factor, self.form)

    @property
    def value(self) -> int:
        """Whole units, rounded up."""
        return _divide_up(self.nanos, NANO)

    @property
    def milli(self) -> int:
        """Whole thousandths, rounded up: what CPUs are counted in."""
        return _divide_up(self.nanos, 10**6)


ZERO = Quantity(0)


def _divide_up(number: int, divisor: int) -> int:
    """Division that rounds away from zero."""
    return -(-number // divisor) if number >= 0 else number // divisor


@lru_cache(maxsize=8192, typed=True)  # typed: True is not 1
def parse(text: str | int | float) -> Quantity:
    """The quantity in a text (or a JSON number); raises ValueError with upstream's message."""
    match = _PATTERN.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(FORMAT_WRONG)
    sign, number, suffix = match.groups()
    digits = _NUMBER.fullmatch(number)
    if digits is None:
        raise ValueError(FORMAT_WRONG)
    whole, fraction = digits.groups()
    if not whole and not fraction:
        raise ValueError(NUMBER_WRONG)
    numerator, denominator, form = _scale(suffix)
    amount = int(whole + fraction) * NANO * numerator
    nanos = min(_divide_up(amount, denominator * 10 ** len(fraction)), _LIMIT)
    if form == "binary" and 0 < nanos < NANO:
        form = "decimal"
    return Quantity(-nanos if sign == "-" else nanos, form)


def _scale(suffix: str) -> tuple[int, int, Form]:
    """What a suffix multiplies by, as a fraction, and the form that it stands for."""
    if suffix in _BINARY:
        return 1 << _BINARY[suffix], 1, "binary"
    form: Form = "decimal"
    if suffix in _DECIMAL:
        power = _DECIMAL[suffix]
    else:
        match = _EXPONENT.fullmatch(suffix)
        if match is None or len(match[1]) > 6:
            raise ValueError(SUFFIX_WRONG)
        # Beyond these powers everything is the smallest or the largest amount; do not compute it digit by digit.
        power, form = max(-1000, min(int(match[1]), 1000)), "exponent"
    return (10**power, 1, form) if power >= 0 else (1, 10**-power, form)


def _canonical(quantity: Quantity) -> str:
    """The largest suffix that leaves no fraction."""
    nanos, form = quantity.nanos, quantity.form
    if nanos == 0:
        return "0"
    if form == "binary" and abs(nanos) >= 1024 * NANO:
        number, power = _divide_up(nanos, NANO), 0
        while number % 1024 == 0 and power < 60:
            number, power = number // 1024, power + 10
        return f"{number}{_BINARY_SUFFIX[power]}"
    number, power = nanos, -9
    while number % 1000 == 0 and (form == "exponent" or power < 18):
        number, power = number // 1000, power + 3
    if form == "exponent":
        return f"{number}e{power}" if power else str(number)
    return f"{number}{_DECIMAL_SUFFIX[power]}"


@lru_cache(maxsize=8192, typed=True)  # typed: True is not 1
def canonical(text: str | int | float) -> str:
    """The canonical text of a quantity: `1000m` is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`."""
    return _canonical(parse(text))


def value(text: str | int | float) -> int:
    """Whole units, rounded up."""
    return parse(text).value


def milli(text: str | int | float) -> int:
    """Whole thousandths, rounded up."""
    return parse(text).milli


def add(left: str, right: str) -> str:
    """The sum of two texts, canonical."""
    return _canonical(parse(left) + parse(right))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as the left is less than, equal to or more than the right."""
    a, b = parse(left).nanos, parse(right).nanos
    return (a > b) - (a < b)

"""How Go prints the numbers in schemas."""

from typing import Any


def number(value: Any) -> str:
    """A number as Go's `%v` prints it: integers plain, floats with an exponent from a million on."""
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    power = int(f"{value:e}".partition("e")[2])
    shortest = repr(value)
    if -4 <= power < 6:
        return shortest.removesuffix(".0")
    digits = shortest.partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{'-' if value < 0 else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"

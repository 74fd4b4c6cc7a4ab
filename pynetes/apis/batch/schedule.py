"""Whether a cron expression is one that the CronJob controller understands, and what is wrong with it if not.

The grammar is that of standard five-field cron with names, steps, ranges, lists and descriptors (`@daily`,
`@every 1h30m`).
"""

from pynetes.machinery import clock

_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_WORDS: tuple[dict[str, int], ...] = ({}, {}, {}, _MONTHS, _DAYS)
_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})


def problem(expression: str) -> str:
    """What is wrong with the expression; empty if nothing is."""
    if not expression:
        return "empty spec string"
    if expression.startswith(("TZ=", "CRON_TZ=")):
        _, _, expression = expression.partition(" ")
        expression = expression.strip()
    if expression.startswith("@"):
        return _descriptor(expression)
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (low, high), words in zip(fields, _FIELDS, _WORDS, strict=True):
        for part in text.split(","):
            fault = _range(part, low, high, words)
            if fault:
                return fault
    return ""


def _descriptor(expression: str) -> str:
    if expression in _DESCRIPTORS:
        return ""
    if expression.startswith("@every "):
        text = expression.removeprefix("@every ")
        try:
            clock.parse_duration(text)
        except ValueError:
            return f'failed to parse duration {expression}: time: invalid duration "{text}"'
        return ""
    return f"unrecognized descriptor: {expression}"


def _range(text: str, low: int, high: int, words: dict[str, int]) -> str:
    span, slash, step = text.partition("/")
    if "/" in step:
        return f"too many slashes: {text}"
    first, dash, last = span.partition("-")
    if "-" in last:
        return f"too many hyphens: {text}"
    if first in ("*", "?"):
        start, end = low, high
    else:
        begin, fault = _number(first, words)
        if fault:
            return fault
        start = end = begin
        if dash:
            end, fault = _number(last, words)
            if fault:
                return fault
        elif slash:
            end = high
    if slash:
        size, fault = _number(step, {})
        if fault:
            return fault
        if size == 0:
            return f"step of range should be a positive number: {text}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return ""


def _number(text: str, words: dict[str, int]) -> tuple[int, str]:
    if text.lower() in words:
        return words[text.lower()], ""
    try:
        number = int(text)
    except ValueError:
        return 0, f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
    if number < 0:
        return 0, f"negative number ({number}) not allowed: {text}"
    return number, ""

"""Whether and for how long a pod bears a node's taints. Pure functions."""

from collections.abc import Iterable

from pynetes.machinery.meta import Obj


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    value, wanted = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Equal":
        return bool(toleration.get("key")) and value == wanted
    if operator in ("Gt", "Lt"):
        try:
            return int(wanted) > int(value) if operator == "Gt" else int(wanted) < int(value)
        except ValueError:
            return False
    return False


def untolerated(tolerations: Iterable[Obj], taints: Iterable[Obj], effects: Iterable[str]) -> list[Obj]:
    """The taints with one of `effects` that no toleration covers."""
    mine, chosen = [*tolerations], set(effects)
    return [t for t in taints if t.get("effect") in chosen and not any(tolerates(each, t) for each in mine)]


def seconds_tolerated(tolerations: Iterable[Obj], taints: Iterable[Obj]) -> float | None:
    """How long the pod bears all of these (NoExecute) taints: 0 not at all, None for ever."""
    mine = [*tolerations]
    limits: list[float] = []
    for taint in taints:
        covering = [each for each in mine if tolerates(each, taint)]
        if not covering:
            return 0.0
        limits += [each["tolerationSeconds"] for each in covering if each.get("tolerationSeconds") is not None]
    return max(0.0, min(limits)) if limits else None


def no_execute(node: Obj | None) -> list[Obj]:
    """The node's NoExecute taints."""
    return [t for t in (node or {}).get("spec", {}).get("taints") or [] if t.get("effect") == "NoExecute"]

"""RBAC's PolicyRules as values: what a rule matches, when rules cover others, how they read in a refusal.

Pure functions over plain dicts. `covers` is the heart of escalation prevention: it breaks the asked-for rules into
single grants (one verb, one group, one resource, one name) and looks for a held rule that includes each.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pynetes.machinery.errors import quote

Rule = dict[str, Any]


def url_matches(patterns: Iterable[str], path: str) -> bool:
    """Whether a non-resource path is named by `patterns` (exact, `*`, or a prefix ending in `*`)."""
    return any(
        pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
        for pattern in patterns
    )


def breakdown(rule: Rule) -> list[Rule]:
    """The single grants that a rule is made of."""
    verbs = rule.get("verbs") or []
    grants: list[Rule] = []
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in verbs:
                base: Rule = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or []
                grants += [base | {"resourceNames": [name]} for name in names] if names else [base]
    paths = rule.get("nonResourceURLs") or []
    return grants + [{"nonResourceURLs": [path], "verbs": [verb]} for path in paths for verb in verbs]


def covers(held: Sequence[Rule], asked: Iterable[Rule]) -> list[Rule]:
    """The single grants of `asked` that no rule of `held` includes; empty if all are covered."""
    return [
        grant for rule in asked for grant in breakdown(rule) if not any(_rule_covers(owner, grant) for owner in held)
    ]


def _rule_covers(owner: Rule, grant: Rule) -> bool:
    verbs = owner.get("verbs") or []
    if "*" not in verbs and not set(grant["verbs"]) <= set(verbs):
        return False
    if "nonResourceURLs" in grant:
        return all(_url_covers(owner.get("nonResourceURLs") or [], url) for url in grant["nonResourceURLs"])
    groups = owner.get("apiGroups") or []
    if "*" not in groups and not set(grant["apiGroups"]) <= set(groups):
        return False
    if not _resources_cover(owner.get("resources") or [], grant["resources"]):
        return False
    owner_names = owner.get("resourceNames") or []
    return not owner_names or ("resourceNames" in grant and set(grant["resourceNames"]) <= set(owner_names))


def _url_covers(owned: list[str], url: str) -> bool:
    return any(
        pattern in ("*", url) or (pattern.endswith("*") and url.startswith(pattern.rstrip("*"))) for pattern in owned
    )


def _resources_cover(owned: list[str], asked: list[str]) -> bool:
    if "*" in owned:
        return True
    for resource in asked:
        if resource in owned:
            continue
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in owned:
            return False
    return True


def compact(grants: Iterable[Rule]) -> list[Rule]:
    """Join single grants that differ only in their verb, so that a refusal is short."""
    joined: dict[tuple[str, str, str], Rule] = {}
    others: list[Rule] = []
    for grant in grants:
        if "nonResourceURLs" in grant:
            others.append(grant)
            continue
        key = (grant["apiGroups"][0], grant["resources"][0], json.dumps(grant.get("resourceNames")))
        known = joined.setdefault(key, grant | {"verbs": []})
        known["verbs"] += [verb for verb in grant["verbs"] if verb not in known["verbs"]]
    return [*joined.values(), *others]


def quote_list(items: Iterable[str]) -> str:
    """A list of strings in Go's `%q`: `["a" "b"]`."""
    return "[" + " ".join(quote(item) for item in items) + "]"


_PARTS = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


def describe(rule: Rule) -> str:
    """A rule as upstream's refusals print it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`."""
    parts = [f"{title}:{quote_list(rule[field])}" for field, title in _PARTS if rule.get(field)]
    return "{" + ", ".join(parts) + "}"

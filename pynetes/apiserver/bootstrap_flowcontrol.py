"""The flow schemas and priority levels that upstream's API server makes for itself, as data.

They are shown, kept and may be edited; the seats themselves are given out by `flowcontrol`.
"""

from typing import Any

from pynetes.machinery.meta import Obj

_API = "flowcontrol.apiserver.k8s.io/v1"
_ALL = ["*"]

# name: (nominal shares, lendable percent, queues, hand size, queue length)
_LEVELS: dict[str, tuple[int, int, int, int, int]] = {
    "system": (30, 33, 64, 6, 50),
    "node-high": (40, 25, 64, 6, 50),
    "leader-election": (10, 0, 16, 4, 50),
    "workload-high": (40, 50, 128, 6, 50),
    "workload-low": (100, 90, 128, 6, 50),
    "global-default": (20, 50, 128, 6, 50),
}


def _user(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _group(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _account(namespace: str, name: str) -> list[Obj]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}}]


def _resources(verbs: list[str], groups: list[str], names: list[str], cluster: bool = True, **more: Any) -> Obj:
    rule: Obj = {"verbs": verbs, "apiGroups": groups, "resources": names}
    if cluster:
        rule["clusterScope"] = True
    return rule | {"namespaces": more.get("namespaces", _ALL)}


_EVERYTHING = _resources(_ALL, _ALL, _ALL)
_EVERY_PATH: Obj = {"verbs": _ALL, "nonResourceURLs": _ALL}
_ALL_RULE: Obj = {"resourceRules": [_EVERYTHING], "nonResourceRules": [_EVERY_PATH]}
_LEASES = _resources(["get", "create", "update"], ["coordination.k8s.io"], ["leases"], cluster=False)
_SYSTEM_LEASES = _LEASES | {"namespaces": ["kube-system"]}
_SERVICE_ACCOUNTS = _group("system:serviceaccounts:kube-system")

# name: (level, precedence, distinguished by, rules of (subjects, what they match))
_SCHEMAS: dict[str, tuple[str, int, str, list[Obj]]] = {
    "exempt": ("exempt", 1, "", [{"subjects": _group("system:masters"), **_ALL_RULE}]),
    "probes": (
        "exempt",
        2,
        "",
        [
            {
                "subjects": _group("system:unauthenticated", "system:authenticated"),
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
            }
        ],
    ),
    "system-leader-election": (
        "leader-election",
        100,
        "ByUser",
        [
            {
                "subjects": _user("system:kube-controller-manager", "system:kube-scheduler") + _SERVICE_ACCOUNTS,
                "resourceRules": [_SYSTEM_LEASES],
            }
        ],
    ),
    "endpoint-controller": (
        "workload-high",
        150,
        "ByUser",
        [
            {
                "subjects": _user("system:kube-controller-manager")
                + _account("kube-system", "endpoint-controller")
                + _account("kube-system", "endpointslicemirroring-controller"),
                "resourceRules": [_resources(["get", "create", "update"], [""], ["endpoints"], cluster=False)],
            }
        ],
    ),
    "workload-leader-election": (
        "leader-election",
        200,
        "ByUser",
        [{"subjects": _SERVICE_ACCOUNTS, "resourceRules": [_LEASES]}],
    ),
    "system-node-high": (
        "node-high",
        400,
        "ByUser",
        [
            {
                "subjects": _group("system:nodes"),
                "resourceRules": [
                    _resources(_ALL, [""], ["nodes", "nodes/status"]),
                    _resources(_ALL, ["coordination.k8s.io"], ["leases"], cluster=False),
                ],
            }
        ],
    ),
    "system-nodes": ("system", 500, "ByUser", [{"subjects": _group("system:nodes"), **_ALL_RULE}]),
    "kube-controller-manager": (
        "workload-high",
        800,
        "ByNamespace",
        [{"subjects": _user("system:kube-controller-manager"), **_ALL_RULE}],
    ),
    "kube-scheduler": (
        "workload-high",
        800,
        "ByNamespace",
        [{"subjects": _user("system:kube-scheduler"), **_ALL_RULE}],
    ),
    "kube-system-service-accounts": (
        "workload-high",
        900,
        "ByNamespace",
        [{"subjects": _SERVICE_ACCOUNTS, **_ALL_RULE}],
    ),
    "service-accounts": ("workload-low", 9000, "ByUser", [{"subjects": _group("system:serviceaccounts"), **_ALL_RULE}]),
    "global-default": (
        "global-default",
        9900,
        "ByUser",
        [{"subjects": _group("system:unauthenticated", "system:authenticated"), **_ALL_RULE}],
    ),
    "catch-all": (
        "catch-all",
        10000,
        "ByUser",
        [{"subjects": _group("system:unauthenticated", "system:authenticated"), **_ALL_RULE}],
    ),
}


def objects() -> list[Obj]:
    """All of them."""
    return [*_levels(), *_schemas()]


def _object(kind: str, name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}


def _levels() -> list[Obj]:
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    rejecting = {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    }
    kind = "PriorityLevelConfiguration"
    made = [_object(kind, "exempt", exempt), _object(kind, "catch-all", rejecting)]
    for name, (shares, lendable, queues, hand, length) in _LEVELS.items():
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
        limited = {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        }
        made.append(_object(kind, name, {"type": "Limited", "limited": limited}))
    return made


def _schemas() -> list[Obj]:
    made = []
    for name, (level, precedence, distinguisher, rules) in _SCHEMAS.items():
        spec: Obj = {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": rules,
        }
        if distinguisher:
            spec["distinguisherMethod"] = {"type": distinguisher}
        made.append(_object("FlowSchema", name, spec))
    return made

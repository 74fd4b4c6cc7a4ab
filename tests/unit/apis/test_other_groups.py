"""Networking, RBAC, storage, scheduling, autoscaling, policy and the small groups: defaults, refusals, fixed fields."""

import copy

import pytest

BACKEND = {"service": {"name": "s", "port": {"number": 80}}}


def ingress(**path):
    one = {"path": "/", "pathType": "Prefix", "backend": BACKEND, **path}
    return {"spec": {"rules": [{"http": {"paths": [{k: v for k, v in one.items() if v is not None}]}}]}}


ROLE_REF = {"kind": "Role", "name": "r"}
HPA = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3}
POLICY = {"podSelector": {}}
CLASS = {"provisioner": "a.b/c"}
CLAIM_REQUEST = {"name": "r", "exactly": {"deviceClassName": "gpu"}}

DEFAULTS = [
    ("networkpolicies", {"spec": POLICY}, {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}),
    (
        "networkpolicies",
        {"spec": {**POLICY, "egress": [{"ports": [{"port": 53}]}]}},
        {
            "spec": {
                **POLICY,
                "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress", "Egress"],
            }
        },
    ),
    ("storageclasses", CLASS, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    ("priorityclasses", {"value": 1}, {"preemptionPolicy": "PreemptLowerPriority"}),
    (
        "rolebindings",
        {"roleRef": ROLE_REF, "subjects": [{"kind": "User", "name": "bob"}]},
        {
            "roleRef": {**ROLE_REF, "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
        },
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": HPA},
        {
            "spec": {
                **HPA,
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
            }
        },
    ),
    (
        "poddisruptionbudgets",
        {"spec": {"minAvailable": 1}},
        {"status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}},
    ),
    (
        "endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
        {"ports": [{"name": "", "port": 80, "protocol": "TCP"}]},
    ),
    (
        "csidrivers",
        {"spec": {}},
        {
            "spec": {
                "attachRequired": True,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "podInfoOnMount": False,
                "requiresRepublish": False,
                "seLinuxMount": False,
                "storageCapacity": False,
                "volumeLifecycleModes": ["Persistent"],
            }
        },
    ),
    (
        "resourceclaims",
        {"spec": {"devices": {"requests": [CLAIM_REQUEST]}}},
        {
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "r",
                            "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
                        }
                    ]
                }
            }
        },
    ),
]


@pytest.mark.parametrize(("resource", "given", "expected"), DEFAULTS, ids=[each[0] for each in DEFAULTS])
def test_defaults(create, resource, given, expected):
    made = create(resource, copy.deepcopy(given))
    assert made.errors == []
    assert {field: made.obj.get(field) for field in expected} == expected


REFUSED = [
    ("ingresses", {"spec": {}}, ['spec: Invalid value: "null": either `defaultBackend` or `rules` must be specified']),
    (
        "ingresses",
        ingress(pathType=None),
        ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    ),
    (
        "ingresses",
        ingress(path="relative"),
        ['spec.rules[0].http.paths[0].path: Invalid value: "relative": must be an absolute path'],
    ),
    (
        "ingresses",
        ingress(path="/a//b"),
        ["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"],
    ),
    (
        "ingresses",
        ingress(backend={"service": {"name": "s"}}),
        ["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"],
    ),
    (
        "ingresses",
        {"spec": {"rules": [{"host": "10.0.0.1"}]}},
        ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
    ),
    (
        "networkpolicies",
        {"spec": {**POLICY, "ingress": [{"from": [{}]}]}},
        ["spec.ingress[0].from[0]: Required value: must specify a peer"],
    ),
    (
        "networkpolicies",
        {"spec": {**POLICY, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/24"]}}]}]}},
        [
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/24": must be a strict subset of '
            "`cidr` (10.0.0.0/8)"
        ],
    ),
    (
        "networkpolicies",
        {"spec": {**POLICY, "ingress": [{"ports": [{"port": 80, "endPort": 79}]}]}},
        ["spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
    ),
    (
        "roles",
        {"rules": [{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]},
        ["rules[0].verbs: Required value: verbs must contain at least one value"],
    ),
    (
        "roles",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        [
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
        ],
    ),
    (
        "rolebindings",
        {"roleRef": {"kind": "Pod", "name": "r"}},
        ['roleRef.kind: Unsupported value: "Pod": supported values: "ClusterRole", "Role"'],
    ),
    (
        "clusterrolebindings",
        {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]},
        ["subjects[0].namespace: Required value"],
    ),
    ("storageclasses", {}, ["provisioner: Required value"]),
    (
        "priorityclasses",
        {"value": 1_000_000_001},
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ),
    (
        "priorityclasses",
        {"metadata": {"name": "system-mine"}, "value": 1},
        [
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
            "error: system-mine is not a known system priority class"
        ],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {**HPA, "minReplicas": 5}},
        ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {**HPA, "minReplicas": 0}},
        [
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero "
            "replicas"
        ],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {**HPA, "behavior": {"scaleUp": {"tolerance": "-100m"}}}},
        ['spec.behavior.scaleUp.tolerance: Invalid value: "-100m": must be greater than or equal to 0'],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {**HPA, "minReplicas": -1}},
        ["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        "poddisruptionbudgets",
        {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
        [
            'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: minAvailable and maxUnavailable cannot be '
            "both set"
        ],
    ),
    (
        "poddisruptionbudgets",
        {"spec": {"minAvailable": "101%"}},
        ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
    ),
    (
        "endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
        ["endpoints[0].addresses: Required value: must contain at least 1 address"],
    ),
    ("endpointslices", {}, ["addressType: Required value"]),
    (
        "endpointslices",
        {
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.2.3"], "hints": {"forZones": [{"name": f"zone-{n}"} for n in range(9)]}},
                {"addresses": ["10.1.2.4"], "deprecatedTopology": {f"key-{n}": "" for n in range(17)}},
            ],
        },
        [
            "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items",
            "endpoints[1].deprecatedTopology: Too many: 17: must have at most 16 items",
        ],
    ),
    (
        "leases",
        {"spec": {"leaseDurationSeconds": 0}},
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ),
    (
        "runtimeclasses",
        {"handler": "A"},
        [
            'handler: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric '
            "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
            "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ],
    ),
    (
        "servicecidrs",
        {"spec": {"cidrs": ["10.0.0.1/8"]}},
        ['spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length'],
    ),
    ("controllerrevisions", {}, ["data: Required value: data is mandatory"]),
    (
        "storageclasses",
        {**CLASS, "reclaimPolicy": "Recycle"},
        ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
    ),
    (
        "storageclasses",
        {
            **CLASS,
            "allowedTopologies": [
                {"matchLabelExpressions": [{"key": "z", "values": ["a", "a"]}, {"key": "z", "values": []}]}
            ],
        },
        [
            'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
            "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
            'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "z"',
        ],
    ),
    (
        "csinodes",
        {"spec": {"drivers": [{"name": "a", "nodeID": "", "topologyKeys": ["k", "k", ""]}]}},
        [
            "spec.drivers[0].nodeID: Required value",
            'spec.drivers[0]: Duplicate value: "k"',
            "spec.drivers[0]: Required value",
            'spec.drivers[0]: Invalid value: ["k","k",""]: name part must be non-empty',
            'spec.drivers[0]: Invalid value: ["k","k",""]: name part must consist of alphanumeric characters, '
            "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  "
            "or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    ),
]


@pytest.mark.parametrize(
    ("resource", "given", "expected"), REFUSED, ids=[f"{kind}-{errors[0][:40]}" for kind, _, errors in REFUSED]
)
def test_what_is_refused(create, resource, given, expected):
    assert create(resource, copy.deepcopy(given)).errors == expected


FIXED = [
    (
        "csinodes",
        {"spec": {"drivers": [{"name": "a", "nodeID": "i", "topologyKeys": None}]}},
        lambda o: o["spec"]["drivers"][0].update(nodeID="j"),
        'CSINodeDriver: Invalid value: {"name":"a","nodeID":"j","topologyKeys":null}: field is immutable',
    ),
    (
        "servicecidrs",
        {"spec": {"cidrs": ["10.0.0.0/24"]}},
        lambda o: o["spec"].update(cidrs=["10.1.0.0/24", "fd00::/64"]),
        'spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable',
    ),
    ("rolebindings", {"roleRef": ROLE_REF}, lambda o: o["roleRef"].update(name="x"), "cannot change roleRef"),
    ("storageclasses", CLASS, lambda o: o.update(provisioner="x.y/z"), "updates to provisioner are forbidden."),
    ("priorityclasses", {"value": 1}, lambda o: o.update(value=2), "may not be changed in an update."),
    ("runtimeclasses", {"handler": "a"}, lambda o: o.update(handler="b"), "field is immutable"),
    (
        "ingressclasses",
        {"spec": {"controller": "a.b/c"}},
        lambda o: o["spec"].update(controller="d.e/f"),
        "field is immutable",
    ),
    (
        "endpointslices",
        {"addressType": "IPv4"},
        lambda o: o.update(addressType="IPv6"),
        "field is immutable",
    ),
    (
        "resourceclaims",
        {"spec": {"devices": {"requests": [CLAIM_REQUEST]}}},
        lambda o: o["spec"]["devices"]["requests"][0].update(name="s"),
        "field is immutable",
    ),
    ("controllerrevisions", {"data": {"a": 1}}, lambda o: o.update(data={"a": 2}), "field is immutable"),
]


@pytest.mark.parametrize(("resource", "given", "change", "detail"), FIXED, ids=[each[0] for each in FIXED])
def test_what_never_changes(create, update, resource, given, change, detail):
    (error,) = update(resource, create(resource, copy.deepcopy(given)).obj, change).errors
    assert error.endswith(detail)


def test_a_service_range_may_gain_the_other_family(create, update):
    stored = create("servicecidrs", {"spec": {"cidrs": ["10.0.0.0/24"]}}).obj
    both = ["10.0.0.0/24", "fd00::/64"]
    dual = update("servicecidrs", stored, lambda o: o["spec"].update(cidrs=both))
    assert dual.errors == []
    assert update("servicecidrs", dual.obj, lambda o: o["spec"].update(cidrs=both[:1])).errors == [
        'spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable'
    ]


def test_how_many_volumes_a_driver_takes_may_change(create, update):
    driver = {"name": "a", "nodeID": "i", "topologyKeys": None, "allocatable": {"count": 5}}
    stored = create("csinodes", {"spec": {"drivers": [driver]}}).obj
    fewer = {**driver, "allocatable": {"count": 4}}
    assert update("csinodes", stored, lambda o: o["spec"].update(drivers=[fewer])).errors == []


def test_what_went_wrong_with_an_attachment_is_told_in_short(create, update):
    spec = {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    stored = create("volumeattachments", {"spec": spec}).obj
    status = {"attached": False, "detachError": {"message": "a" * 1025}}
    assert update("volumeattachments", stored, lambda o: o.update(status=status), "status").errors == [
        "status.detachError.message: Too long: may not be more than 1024 bytes"
    ]


def test_conditions_of_a_budget_are_whole(create, update):
    stored = create("poddisruptionbudgets", {"spec": {"minAvailable": 1}}).obj
    good = {"type": "Mine", "status": "True", "reason": "Because", "lastTransitionTime": "2026-01-01T00:00:00Z"}

    def errors(*conditions):
        return update(
            "poddisruptionbudgets", stored, lambda o: o["status"].update(conditions=[*conditions]), "status"
        ).errors

    assert errors(good) == []
    assert errors({"type": "Mine", "status": "Yes"}) == [
        'status.conditions[0].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value: must be set",
        "status.conditions[0].reason: Required value: must be set",
    ]
    twice, wordy = errors(good, {**good, "reason": "not a reason"})
    assert twice == 'status.conditions[1].type: Duplicate value: "Mine"'
    assert wordy.startswith('status.conditions[1].reason: Invalid value: "not a reason": a condition reason must start')

"""Pods: what is filled in, what is refused, what may change, what is warned of."""

import copy
from typing import Any

import pytest

from pynetes.apis.core.pod_defaults import image_pull_policy
from pynetes.apis.core.pod_resources import qos_class
from pynetes.apis.registry import strategy_for
from pynetes.machinery import resources

PODS = strategy_for(resources.lookup("pods"))


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": "app:1", **(container or {})}], **spec}}


# Defaults.


def test_a_minimal_pod_gets_upstreams_defaults(create):
    assert create("pods", pod()).obj == {
        "metadata": {"name": "x", "namespace": "default", "uid": "u-1", "generation": 1},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "app:1",
                    "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {},
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_from_the_tag(image, policy):
    assert image_pull_policy(image) == policy


def test_requests_come_from_limits_in_pods_but_not_in_templates(create):
    limited = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}
    made = create("pods", pod(limited)).obj
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    template = {"metadata": {"labels": {"a": "b"}}, **pod(limited)}
    made = create("deployments", {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}).obj
    held = made["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert held["requests"] == {"cpu": "500m"}
    assert "enableServiceLinks" not in made["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        (pod(serviceAccount="bob"), ("serviceAccountName",), "bob"),
        (pod(serviceAccountName="bob"), ("serviceAccount",), "bob"),
        (pod({"ports": [{"containerPort": 80}]}), ("containers", 0, "ports", 0, "protocol"), "TCP"),
        (
            pod({"ports": [{"containerPort": 80}]}, hostNetwork=True),
            ("containers", 0, "ports", 0, "hostPort"),
            80,
        ),
        (
            pod({"livenessProbe": {"httpGet": {"port": 80}}}),
            ("containers", 0, "livenessProbe"),
            {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            pod({"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ("containers", 0, "env", 0, "valueFrom", "fieldRef", "apiVersion"),
            "v1",
        ),
        (pod(volumes=[{"name": "v"}]), ("volumes", 0), {"name": "v", "emptyDir": {}}),
        (pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}]), ("volumes", 0, "secret", "defaultMode"), 0o644),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/p"}}]), ("volumes", 0, "hostPath", "type"), ""),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            ("volumes", 0, "projected", "sources", 0, "serviceAccountToken", "expirationSeconds"),
            3600,
        ),
    ],
)
def test_defaults_within_the_spec(create, given, path, expected):
    value: Any = create("pods", given).obj["spec"]
    for step in path:
        value = value[step]
    assert value == expected


def test_a_zero_grace_period_is_kept(create):
    assert create("pods", pod(terminationGracePeriodSeconds=0)).obj["spec"]["terminationGracePeriodSeconds"] == 0


def test_a_gated_pod_says_so_from_the_start(create):
    (condition,) = create("pods", pod(schedulingGates=[{"name": "a.b/c"}])).obj["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")


@pytest.mark.parametrize(
    ("limits", "requests", "expected"),
    [
        ({}, {}, "BestEffort"),
        ({}, {"cpu": "1"}, "Burstable"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1"}, "Burstable"),
        ({"cpu": "1"}, {"cpu": "1"}, "Burstable"),
        ({"cpu": "0"}, {"cpu": "0"}, "BestEffort"),
        ({"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
    ],
)
def test_the_quality_of_service_class(limits, requests, expected):
    assert qos_class(pod({"resources": {"limits": limits, "requests": requests}})["spec"]) == expected


# Validation.

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)

REFUSED = [
    ({"spec": {}}, ["spec.containers: Required value"]),
    (pod({"name": "C"}), [f'spec.containers[0].name: Invalid value: "C": {LABEL}']),
    (pod({"image": ""}), ["spec.containers[0].image: Required value"]),
    (
        pod({"image": " a "}),
        ['spec.containers[0].image: Invalid value: " a ": must not have leading or trailing whitespace'],
    ),
    (
        {"spec": {"containers": [{"name": "c", "image": "i"}] * 2}},
        ['spec.containers[1].name: Duplicate value: "c"'],
    ),
    (
        pod(restartPolicy="Sometimes"),
        ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        pod({"imagePullPolicy": "Maybe"}),
        [
            'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: '
            '"Always", "IfNotPresent", "Never"'
        ],
    ),
    (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/m"}]}),
        ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ),
    (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/m"}] * 2}, volumes=[{"name": "v"}]),
        ['spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/m": must be unique'],
    ),
    (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": "../x"}]}, volumes=[{"name": "v"}]),
        ["spec.containers[0].volumeMounts[0].subPath: Invalid value: \"../x\": must not contain '..'"],
    ),
    (
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    (
        pod({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
        [
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ],
    ),
    (
        pod({"resources": {"requests": {"cpu": "-1"}}}),
        ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        pod({"resources": {"requests": {"disk": "1"}}}),
        [
            'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource type or '
            "fully qualified",
            'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource for '
            "containers",
        ],
    ),
    (
        pod({"resources": {"requests": {"example.com/gpu": "1"}}}),
        ["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        pod({"resources": {"limits": {"example.com/gpu": "500m"}}}),
        [
            'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
            'spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
        ],
    ),
    (
        pod({"livenessProbe": {}}),
        ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    ),
    (
        pod({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}),
        ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    (
        pod({"livenessProbe": {"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}}}),
        ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        pod({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]}),
        [
            'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting '
            "fieldPath: field label not supported: spec.foo"
        ],
    ),
    (
        pod(hostPID=True, shareProcessNamespace=True),
        [
            "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
        ],
    ),
    (pod(dnsPolicy="None"), ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        pod(tolerations=[{"value": "v"}]),
        [
            'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means '
            '"match all values and all keys"'
        ],
    ),
    (
        pod(tolerations=[{"key": "k", "operator": "Exists", "value": "v"}]),
        [
            'spec.tolerations[0].operator: Invalid value: {"Key":"k","Operator":"Exists","Value":"v","Effect":"",'
            "\"TolerationSeconds\":null}: value must be empty when `operator` is 'Exists'"
        ],
    ),
    (
        pod(tolerations=[{"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 3}]),
        [
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when "
            "`tolerationSeconds` is set"
        ],
    ),
    (
        pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
        ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
    ),
    (
        pod({"ports": [{"containerPort": 80, "hostPort": 81}]}, hostNetwork=True),
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` "
            "is true"
        ],
    ),
    (
        pod(initContainers=[{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]),
        [
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always"
        ],
    ),
    (
        pod(ephemeralContainers=[{"name": "e", "image": "i"}]),
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        pod(activeDeadlineSeconds=0),
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (
        pod({"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
        [
            'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: '
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
]


@pytest.mark.parametrize(("given", "expected"), REFUSED, ids=[errors[0][:60] for _, errors in REFUSED])
def test_what_is_refused(create, given, expected):
    assert create("pods", given).errors == expected


def test_a_name_is_needed_and_must_be_a_subdomain(create):
    assert create("pods", pod() | {"metadata": {"name": ""}}).errors == [
        "metadata.name: Required value: name or generateName is required"
    ]
    (error,) = create("pods", pod() | {"metadata": {"name": "Up"}}).errors
    assert error.startswith('metadata.name: Invalid value: "Up": a lowercase RFC 1123 subdomain')


# Updates.

IMMUTABLE = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"


@pytest.fixture
def stored(create):
    return create("pods", pod(tolerations=[{"key": "a", "operator": "Exists"}], activeDeadlineSeconds=60)).obj


def test_the_image_may_change_and_counts_as_a_generation(update, stored):
    outcome = update("pods", stored, lambda p: p["spec"]["containers"][0].update(image="app:2"))
    assert outcome.errors == []
    assert outcome.obj["metadata"]["generation"] == 2


def test_labels_may_change_and_do_not_count(update, stored):
    outcome = update("pods", stored, lambda p: p["metadata"].update(labels={"a": "b"}))
    assert outcome.errors == []
    assert outcome.obj["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(nodeName="n"),
        lambda s: s.update(restartPolicy="Never"),
        lambda s: s["containers"][0].update(command=["x"]),
        lambda s: s.update(terminationGracePeriodSeconds=1),
        lambda s: s["containers"][0].update(resources={"limits": {"cpu": "1"}}),
    ],
)
def test_nothing_else_may_change(update, stored, change):
    (error,) = update("pods", stored, lambda p: change(p["spec"])).errors
    assert error.startswith(IMMUTABLE)


def test_containers_may_not_be_added(update, stored):
    outcome = update("pods", stored, lambda p: p["spec"]["containers"].append({"name": "d", "image": "i"}))
    assert outcome.errors == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_tolerations_may_be_added_but_not_taken(update, stored):
    more = {"key": "b", "operator": "Exists"}
    assert update("pods", stored, lambda p: p["spec"]["tolerations"].append(more)).errors == []
    assert update("pods", stored, lambda p: p["spec"].pop("tolerations")).errors == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_the_deadline_may_only_shrink(update, stored):
    assert update("pods", stored, lambda p: p["spec"].update(activeDeadlineSeconds=30)).errors == []
    assert update("pods", stored, lambda p: p["spec"].update(activeDeadlineSeconds=90)).errors == [
        "spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value"
    ]


def test_a_status_update_leaves_the_spec_alone(update, stored):
    def change(p):
        p["spec"]["nodeName"] = "n"
        p["status"]["phase"] = "Running"

    outcome = update("pods", stored, change, "status")
    assert "nodeName" not in outcome.obj["spec"]
    assert outcome.obj["status"]["phase"] == "Running"


def test_a_plain_update_leaves_the_status_alone(update, stored):
    assert update("pods", stored, lambda p: p["status"].update(phase="Failed")).obj["status"]["phase"] == "Pending"


def test_a_container_that_ended_for_good_stays_ended(update, create):
    stored = create("pods", pod(restartPolicy="Never")).obj
    stored["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]

    def revive(p):
        p["status"]["containerStatuses"][0]["state"] = {"running": {}}

    assert update("pods", stored, revive, "status").errors == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


@pytest.mark.parametrize("action", ["Restart", "RestartAllContainers"])
def test_a_container_that_its_rules_restart_comes_back(update, create, action):
    rule = {"action": action, "exitCodes": {"operator": "In", "values": [42]}}
    container = {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    stored = create("pods", pod(restartPolicy="Never", containers=[container])).obj
    stored["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 42}}}]

    def revive(p):
        p["status"]["containerStatuses"][0]["state"] = {"running": {}}

    assert update("pods", stored, revive, "status").errors == []


def test_ephemeral_containers_are_added_never_changed(update, stored):
    new = {"name": "debug", "image": "i"}

    def add(p):
        p["spec"].setdefault("ephemeralContainers", []).append(new)
        p["spec"]["containers"][0]["image"] = "ignored:1"

    outcome = update("pods", stored, add, "ephemeralcontainers")
    assert outcome.errors == []
    assert outcome.obj["spec"]["containers"][0]["image"] == "app:1"

    def alter(p):
        p["spec"]["ephemeralContainers"][0]["image"] = "other"

    (error,) = update("pods", outcome.obj, alter, "ephemeralcontainers").errors
    assert error.startswith('spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be ch')


def test_a_resize_changes_cpu_and_memory_within_the_class(update, create):
    stored = create("pods", pod({"resources": {"requests": {"cpu": "1"}}})).obj

    def resize(p):
        p["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
        p["spec"]["containers"][0]["image"] = "ignored:1"

    outcome = update("pods", stored, resize, "resize")
    assert outcome.errors == []
    assert outcome.obj["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert outcome.obj["spec"]["containers"][0]["image"] == "app:1"

    def guarantee(p):
        same = {"cpu": "1", "memory": "1Gi"}
        p["spec"]["containers"][0]["resources"] = {"requests": same, "limits": same}

    assert update("pods", stored, guarantee, "resize").errors == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    ]


# Deletion.


@pytest.mark.parametrize(
    ("spec", "phase", "asked", "seconds"),
    [
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 5, 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 0, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -4}, "Running", None, 1),
        ({"terminationGracePeriodSeconds": 30}, "Pending", None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Succeeded", None, 0),
    ],
)
def test_the_grace_period_of_a_deletion(spec, phase, asked, seconds):
    assert PODS.graceful_delete({"spec": spec, "status": {"phase": phase}}, asked) == seconds


# Warnings and field selectors.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(), []),
        (
            pod({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            [
                'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
            ],
        ),
        (
            pod({"ports": [{"containerPort": 80, "protocol": "TCP"}] * 2}),
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        (
            pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
        (
            pod({"resources": {"limits": {"memory": "100m"}}}),
            [
                'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, '
                "must be an integer"
            ],
        ),
        (
            pod(terminationGracePeriodSeconds=-1),
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
    ],
)
def test_warnings(given, expected):
    assert PODS.warnings(given) == expected


def test_the_fields_that_selectors_may_name():
    made = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"nodeName": "node", "restartPolicy": "Never", "schedulerName": "s", "serviceAccountName": "a"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
    }
    assert PODS.fields(made) == {
        "metadata.name": "p",
        "metadata.namespace": "n",
        "spec.hostNetwork": "false",
        "spec.nodeName": "node",
        "spec.restartPolicy": "Never",
        "spec.schedulerName": "s",
        "spec.serviceAccountName": "a",
        "status.nominatedNodeName": "",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
        "status.podIPs": "",
    }


def test_defaulting_twice_changes_nothing(create):
    made = create("pods", pod({"livenessProbe": {"httpGet": {"port": 1}}}, volumes=[{"name": "v"}])).obj
    again = copy.deepcopy(made)
    PODS.default(again)
    assert again == made


def test_selectors_get_the_pods_own_values_of_the_labels_they_name(create):
    selector = {"matchLabels": {"app": "x"}}
    term = {
        "topologyKey": "zone",
        "labelSelector": selector,
        "matchLabelKeys": ["version", "absent"],
        "mismatchLabelKeys": ["tenant"],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
        "matchLabelKeys": ["version"],
    }
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    body = pod(affinity={"podAntiAffinity": {required: [term]}}, topologySpreadConstraints=[spread])
    body["metadata"] = {"labels": {"version": "2", "tenant": "t"}}
    spec = create("pods", body).obj["spec"]
    same = {"key": "version", "operator": "In", "values": ["2"]}
    other = {"key": "tenant", "operator": "NotIn", "values": ["t"]}
    assert spec["affinity"]["podAntiAffinity"][required][0]["labelSelector"] == selector | {
        "matchExpressions": [same, other]
    }
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == selector | {"matchExpressions": [same]}


def test_a_label_is_to_match_or_to_differ_but_not_both(create):
    term = {
        "topologyKey": "zone",
        "labelSelector": {},
        "matchLabelKeys": ["version"],
        "mismatchLabelKeys": ["version"],
    }
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    assert create("pods", pod(affinity={"podAffinity": {required: [term]}})).errors == [
        f"spec.affinity.podAffinity.{required}[0].matchLabelKeys[0]: Invalid value: "
        '"version": exists in both matchLabelKeys and mismatchLabelKeys'
    ]


def test_a_label_that_is_to_match_is_not_in_the_selector_too(create):
    holder = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"v": "1"}}, "matchLabelKeys": ["w", "v"]}
    spread = holder | {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    body = pod(affinity={"podAffinity": {required: [holder]}}, topologySpreadConstraints=[spread])
    body["metadata"] = {"labels": {"v": "1", "w": "1"}}
    assert sorted(create("pods", body).errors) == [
        f'spec.{path}[1]: Invalid value: "v": exists in both matchLabelKeys and labelSelector'
        for path in (f"affinity.podAffinity.{required}[0]", "topologySpreadConstraints[0]")
    ]


def test_a_pods_own_resources_hold_those_of_its_containers(create):
    container = {"resources": {"requests": {"cpu": "300m", "memory": "1Gi"}, "limits": {"cpu": "3"}}}
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "300m"}}}
    own = {"requests": {"cpu": "0.5", "memory": "1Gi"}, "limits": {"cpu": "2"}}
    assert create("pods", pod(container, initContainers=[sidecar], resources=own)).errors == [
        'spec.resources.requests[cpu]: Invalid value: "500m": '
        "must be greater than or equal to aggregate container requests of 600m",
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]


@pytest.mark.parametrize(("cost", "valid"), [("-5", True), ("0", True), ("abc", False), ("+1", False), ("01", False)])
def test_what_a_pod_costs_is_a_number(create, cost, valid):
    annotations = {"controller.kubernetes.io/pod-deletion-cost": cost}
    errors = create("pods", pod() | {"metadata": {"name": "p", "annotations": annotations}}).errors
    path = "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]"
    assert errors == ([] if valid else [f'{path}: Invalid value: "{cost}": must be a 32bit integer'])


def test_a_mirror_pod_says_its_node(create):
    head = {"metadata": {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}}
    (error,) = create("pods", pod() | head).errors
    assert error.endswith('Invalid value: "x": must set spec.nodeName if mirror pod annotation is set')
    assert create("pods", pod(nodeName="n") | head).errors == []

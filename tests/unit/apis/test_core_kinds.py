"""The rest of the core group: namespaces, nodes, configuration, quotas, volumes, controllers, endpoints, events."""

import base64

import pytest

from pynetes.apis.registry import strategy_for
from pynetes.machinery import resources


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Namespaces.


def test_a_new_namespace_is_active_labelled_and_held(create):
    made = create("namespaces", {"metadata": {"name": "ns"}}).obj
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "ns"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}


def test_the_name_label_cannot_be_changed(create, update):
    stored = create("namespaces", {"metadata": {"name": "ns"}}).obj
    made = update("namespaces", stored, lambda o: o["metadata"].update(labels={"kubernetes.io/metadata.name": "x"}))
    assert made.obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "ns"}


def test_finalizers_change_through_finalize_only(create, update):
    stored = create("namespaces", {"metadata": {"name": "ns"}}).obj
    clear = {"finalizers": []}
    assert update("namespaces", stored, lambda o: o.update(spec=clear)).obj["spec"]["finalizers"] == ["kubernetes"]
    assert update("namespaces", stored, lambda o: o.update(spec=clear), "finalize").obj["spec"] == clear


def test_a_namespace_with_finalizers_is_not_removed(create):
    kind = strategy_for(resources.lookup("namespaces"))
    made = create("namespaces", {"metadata": {"name": "ns"}}).obj
    assert kind.blocks_removal(made)
    kind.mark_deleting(made)
    assert made["status"]["phase"] == "Terminating"
    made["spec"]["finalizers"] = []
    assert not kind.blocks_removal(made)


# Nodes.


def test_a_node_keeps_the_status_it_is_created_with(create):
    made = create("nodes", {"status": {"capacity": {"cpu": "4"}}}).obj
    assert made["status"] == {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}}


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (lambda s: s.update(unschedulable=True), []),
        (lambda s: s.update(taints=[{"key": "a", "effect": "NoSchedule"}]), []),
        (
            lambda s: s.update(taints=[{"key": "a", "effect": "Sometimes"}]),
            [
                'spec.taints[0].effect: Unsupported value: "Sometimes": supported values: "NoSchedule", '
                '"PreferNoSchedule", "NoExecute"'
            ],
        ),
        (
            lambda s: s.update(podCIDR="10.0.1.0/24", podCIDRs=["10.0.1.0/24"]),
            [
                'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
            ],
        ),
        (
            lambda s: s.update(providerID="b"),
            ['spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'],
        ),
    ],
)
def test_what_of_a_node_may_change(create, update, change, errors):
    stored = create("nodes", {"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"], "providerID": "a"}}).obj
    assert update("nodes", stored, lambda o: change(o["spec"])).errors == errors


def test_two_taints_of_the_same_key_and_effect(create):
    taint = {"key": "a", "effect": "NoSchedule"}
    assert create("nodes", {"spec": {"taints": [taint, taint]}}).errors == [
        'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect '
        "pair"
    ]


# ConfigMaps and Secrets.


def test_string_data_is_merged_into_data_and_never_stored(create):
    made = create("secrets", {"data": {"a": encoded("old"), "b": encoded("b")}, "stringData": {"a": "new"}}).obj
    assert made["data"] == {"a": encoded("new"), "b": encoded("b")}
    assert "stringData" not in made
    assert made["type"] == "Opaque"


@pytest.mark.parametrize(
    ("resource", "given", "errors"),
    [
        (
            "configmaps",
            {"data": {"a b": "1"}},
            [
                "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', "
                "'_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                "'[-._a-zA-Z0-9]+')"
            ],
        ),
        (
            "configmaps",
            {"data": {"a": "1"}, "binaryData": {"a": "MQ=="}},
            ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
        ),
        ("configmaps", {"data": {"a": "x" * (1 << 20) + "y"}}, ["[]: Too long: may not be more than 1048576 bytes"]),
        ("secrets", {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (
            "secrets",
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        ("secrets", {"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}, []),
        ("secrets", {"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
        (
            "secrets",
            {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "nope"}},
            [
                "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'n' looking "
                "for beginning of value"
            ],
        ),
        (
            "secrets",
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ],
)
def test_configuration_that_is_refused(create, resource, given, errors):
    assert create(resource, given).errors == errors


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
def test_immutable_configuration_stays_so(create, update, resource):
    stored = create(resource, {"immutable": True, "data": {"a": encoded("1")}}).obj
    set_ = "field is immutable when `immutable` is set"
    assert update(resource, stored, lambda o: o.update(data={"a": encoded("2")})).errors == [f"data: Forbidden: {set_}"]
    assert update(resource, stored, lambda o: o.pop("immutable")).errors == [f"immutable: Forbidden: {set_}"]
    assert update(resource, stored, lambda o: o["metadata"].update(labels={"a": "b"})).errors == []


def test_a_secrets_type_is_fixed(create, update):
    stored = create("secrets", {"type": "a"}).obj
    assert update("secrets", stored, lambda o: o.update(type="b")).errors == [
        'type: Invalid value: "b": field is immutable'
    ]


# Quotas and limits.


def test_limits_fill_each_other_in(create):
    item = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}, "default": {"memory": "4Mi"}}
    (made,) = create("limitranges", {"spec": {"limits": [item]}}).obj["spec"]["limits"]
    assert made["default"] == {"cpu": "2", "memory": "4Mi"}
    assert made["defaultRequest"] == {"cpu": "2", "memory": "4Mi"}


@pytest.mark.parametrize(
    ("resource", "spec", "errors"),
    [
        (
            "limitranges",
            {"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]},
            ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
        ),
        (
            "limitranges",
            {"limits": [{"type": "Pod", "default": {"cpu": "2"}}]},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            "limitranges",
            {"limits": [{"type": "PersistentVolumeClaim"}]},
            [
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but "
                "neither was provided"
            ],
        ),
        (
            "resourcequotas",
            {"hard": {"nonsense": "1"}},
            [
                'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource type or fully qualified',
                'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota',
            ],
        ),
        ("resourcequotas", {"hard": {"count/deployments.apps": "1", "requests.example.com/gpu": "2"}}, []),
        (
            "resourcequotas",
            {"hard": {"pods": "-1"}},
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            "resourcequotas",
            {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
        ),
        (
            "resourcequotas",
            {"hard": {"services": "1"}, "scopes": ["Terminating"]},
            ['spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource'],
        ),
    ],
)
def test_limits_and_quotas_that_are_refused(create, resource, spec, errors):
    assert create(resource, {"spec": spec}).errors == errors


# Replication controllers.


def test_a_controllers_selector_and_labels_come_from_its_template(create):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = create("replicationcontrollers", {"spec": {"template": template}})
    assert made.errors == []
    assert made.obj["spec"]["selector"] == {"a": "b"}
    assert made.obj["metadata"]["labels"] == {"a": "b"}
    assert made.obj["spec"]["replicas"] == 1


# Volumes.

VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def test_a_volumes_defaults(create):
    made = create("persistentvolumes", {"spec": VOLUME})
    assert made.errors == []
    assert made.obj["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made.obj["spec"]["volumeMode"] == "Filesystem"
    assert made.obj["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("resource", "spec", "errors"),
    [
        (
            "persistentvolumes",
            {**VOLUME, "hostPath": None},
            ["spec: Required value: must specify a volume type"],
        ),
        ("persistentvolumes", {**VOLUME, "accessModes": []}, ["spec.accessModes: Required value"]),
        (
            "persistentvolumes",
            {**VOLUME, "nfs": {"server": "s", "path": "/"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "persistentvolumes",
            {**VOLUME, "accessModes": ["Some"]},
            [
                'spec.accessModes: Unsupported value: "Some": supported values: "ReadOnlyMany", "ReadWriteMany", '
                '"ReadWriteOnce", "ReadWriteOncePod"'
            ],
        ),
        (
            "persistentvolumeclaims",
            {"resources": {"requests": {"storage": "1Gi"}}},
            ["spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        (
            "persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"]},
            ["spec.resources[storage]: Required value"],
        ),
        (
            "persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0"}}},
            ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
        ),
    ],
)
def test_volumes_and_claims_that_are_refused(create, resource, spec, errors):
    spec = {field: value for field, value in spec.items() if value is not None}
    assert create(resource, {"spec": spec}).errors == errors


def test_a_claims_spec_is_fixed_but_a_bound_one_may_grow(create, update):
    stored = create("persistentvolumeclaims", {"spec": {**CLAIM, "storageClassName": "s"}}).obj
    grow = {"requests": {"storage": "2Gi"}}
    (error,) = update("persistentvolumeclaims", stored, lambda o: o["spec"].update(resources=grow)).errors
    assert error.startswith("spec: Forbidden: spec is immutable after creation except resources.requests and volumeAt")
    stored["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert update("persistentvolumeclaims", stored, lambda o: o["spec"].update(resources=grow)).errors == []
    shrink = {"requests": {"storage": "512Mi"}}
    assert update("persistentvolumeclaims", stored, lambda o: o["spec"].update(resources=shrink)).errors == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


def test_the_binder_may_name_the_volume_once(create, update):
    stored = create("persistentvolumeclaims", {"spec": {**CLAIM, "storageClassName": "s"}}).obj
    bound = update("persistentvolumeclaims", stored, lambda o: o["spec"].update(volumeName="v"))
    assert bound.errors == []
    assert update("persistentvolumeclaims", bound.obj, lambda o: o["spec"].update(volumeName="w")).errors != []


# Endpoints and events.


@pytest.mark.parametrize(
    ("subset", "errors"),
    [
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}, []),
        ({}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (
            {"addresses": [{"ip": "127.0.0.1"}]},
            [
                'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range '
                "(127.0.0.0/8, ::1/128)"
            ],
        ),
        (
            {"addresses": [{"ip": "x"}]},
            [
                'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, '
                "(e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
    ],
)
def test_endpoints(create, subset, errors):
    assert create("endpoints", {"subsets": [subset]}).errors == errors


def test_an_event_belongs_to_its_objects_namespace(create):
    assert create("events", {"involvedObject": {"namespace": "other"}}).errors == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
    assert create("events", {"involvedObject": {"namespace": "default"}}).errors == []


NEW_EVENT = {
    "metadata": {"name": "x", "namespace": "default"},
    "eventTime": "2030-01-01T00:00:00.000000Z",
    "reportingController": "example.com/c",
    "reportingInstance": "i",
    "action": "A",
    "reason": "R",
    "type": "Normal",
    "regarding": {"namespace": "default", "kind": "Pod", "name": "p"},
    "note": "n",
}


def test_an_event_of_the_new_group_says_more(create):
    assert create("events.events.k8s.io", NEW_EVENT).errors == []
    assert create("events.events.k8s.io", {"regarding": {"namespace": "default"}}).errors == [
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: ',
    ]
    given = {"eventTime": NEW_EVENT["eventTime"], "regarding": {}, "series": {"count": 1}, "deprecatedCount": 1}
    assert create("events.events.k8s.io", given | {"type": "Normal", "note": "n" * 1025}).errors == [
        "reportingController: Required value",
        'reportingController: Invalid value: "": name part must be non-empty',
        "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
        "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        "reportingInstance: Required value",
        "action: Required value",
        "reason: Required value",
        'message: Invalid value: "": can have at most 1024 characters',
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
        'count: Invalid value: "": needs to be unset',
    ]


def test_an_event_of_the_new_group_changes_in_its_series_and_note_only(update):
    series = {"count": 2, "lastObservedTime": NEW_EVENT["eventTime"]}
    assert update("events.events.k8s.io", NEW_EVENT, lambda event: event.update(series=series)).errors == []
    assert update("events.events.k8s.io", NEW_EVENT, lambda event: event.update(note="m")).errors == []
    assert update("events.events.k8s.io", NEW_EVENT, lambda event: event.update(reason="S", action="B")).errors == [
        'reason: Invalid value: "S": field is immutable',
        'action: Invalid value: "B": field is immutable',
    ]


def test_an_event_of_the_core_may_change(update):
    event = {
        field: value for field, value in NEW_EVENT.items() if field not in ("regarding", "note", "reportingController")
    }
    event |= {"involvedObject": NEW_EVENT["regarding"], "reportingComponent": "c", "message": "n"}
    assert update("events", event, lambda event: event.update(message="m", reason="S", count=3)).errors == []
    missing = update("events", event, lambda event: event.pop("reportingComponent")).errors
    assert missing[0] == "reportingComponent: Required value"

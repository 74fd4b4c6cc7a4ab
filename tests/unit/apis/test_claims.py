"""Claims and volumes in detail: data sources, volume attributes classes, resizing."""

import pytest

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
CLAIM = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "s",
}
CSI = {"driver": "example.com", "volumeHandle": "h"}
VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": CSI}
OLDER = {"kind": "PersistentVolumeClaim", "name": "from"}
POPULATED = {"apiGroup": "example.com", "kind": "Populator", "name": "from"}


@pytest.mark.parametrize(
    ("given", "source", "reference"),
    [
        ({"dataSource": OLDER}, OLDER, OLDER),
        ({"dataSourceRef": OLDER}, OLDER, OLDER),
        ({"dataSourceRef": POPULATED}, POPULATED, POPULATED),
        ({"dataSource": POPULATED}, None, None),
        ({"dataSourceRef": {**OLDER, "namespace": "other"}}, None, None),
    ],
)
def test_a_data_source_is_in_both_fields_or_dropped(create, given, source, reference):
    made = create(CLAIMS, {"spec": {**CLAIM, **given}})
    assert made.errors == []
    assert (made.obj["spec"].get("dataSource"), made.obj["spec"].get("dataSourceRef")) == (source, reference)


def test_an_attributes_class_may_be_changed_once_bound_and_taken_back_until_it_was_applied(create, update):
    stored = create(CLAIMS, {"spec": {**CLAIM, "volumeAttributesClassName": "silver"}}).obj

    def to(name):
        return lambda claim: claim["spec"].update(volumeAttributesClassName=name)

    (error,) = update(CLAIMS, stored, to("gold")).errors
    assert error.startswith("spec: Forbidden: spec is immutable after creation except")
    stored["spec"]["volumeName"] = "v"
    stored["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert update(CLAIMS, stored, to("gold")).errors == []
    assert update(CLAIMS, stored, to(None)).errors == []
    stored["status"]["currentVolumeAttributesClassName"] = "silver"
    assert update(CLAIMS, stored, to("gold")).errors == []
    for name, said in ((None, "nil"), ("", "empty string")):
        assert update(CLAIMS, stored, to(name)).errors == [
            f"spec.volumeAttributesClassName: Forbidden: update to {said} is forbidden when "
            "status.currentVolumeAttributesClassName is not nil"
        ]


def test_a_claims_status_says_only_known_things_of_a_resize(create, update):
    stored = create(CLAIMS, {"spec": CLAIM}).obj

    def errors(**status):
        return update(CLAIMS, stored, lambda claim: claim["status"].update(status), "status").errors

    assert errors(allocatedResourceStatuses={"storage": "NodeResizePending"}) == []
    assert errors(allocatedResources={"storage": "2Gi", "example.com/iops": "3"}) == []
    (error,) = errors(allocatedResourceStatuses={"storage": "Soon"})
    assert error.startswith('status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "Contr')
    unknown = 'Unsupported value: "cpu": supported values: "storage"'
    assert errors(allocatedResourceStatuses={"cpu": "NodeResizePending"}) == [
        f"status.allocatedResourceStatuses: {unknown}"
    ]
    assert errors(allocatedResources={"cpu": "1"}) == [f"status.allocatedResources: {unknown}"]
    assert errors(capacity={"storage": "-1"}) == [
        'status.capacity[storage]: Invalid value: "-1": must be a valid resource quantity'
    ]


def test_a_volume_of_an_attributes_class_is_a_csi_volume_and_keeps_a_class(create, update):
    hosted = {**VOLUME, "csi": None, "hostPath": {"path": "/srv"}, "volumeAttributesClassName": "gold"}
    assert create(VOLUMES, {"spec": {field: value for field, value in hosted.items() if value}}).errors == [
        "spec.csi: Required value: has to be specified when using volumeAttributesClassName"
    ]
    stored = create(VOLUMES, {"spec": {**VOLUME, "volumeAttributesClassName": "gold"}}).obj
    assert update(VOLUMES, stored, lambda v: v["spec"].update(volumeAttributesClassName="silver")).errors == []
    assert update(VOLUMES, stored, lambda v: v["spec"].pop("volumeAttributesClassName")).errors == [
        "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"
    ]


def test_a_volumes_source_is_fixed_but_for_the_secret_to_expand_it(create, update):
    stored = create(VOLUMES, {"spec": VOLUME}).obj
    secret = {"name": "s", "namespace": "n"}
    assert update(VOLUMES, stored, lambda v: v["spec"]["csi"].update(controllerExpandSecretRef=secret)).errors == []
    assert update(VOLUMES, stored, lambda v: v["spec"]["csi"].update(volumeHandle="i")).errors == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '- .csi.volumeHandle: "h"\n+ .csi.volumeHandle: "i"'
    ]
    assert update(VOLUMES, stored, lambda v: v["spec"].update(volumeMode="Block")).errors == [
        'volumeMode: Invalid value: "Block": field is immutable'
    ]

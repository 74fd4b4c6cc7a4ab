"""Objects in their other versions: nothing is lost on the way there and back."""

from hypothesis import given
from hypothesis import strategies as st

from pynetes.apis import versions
from pynetes.machinery import resources

CORE = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod"},
    "message": "m",
    "source": {"component": "c"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "count": 2,
    "reportingComponent": "r",
    "reason": "R",
}


def test_an_event_in_the_new_group():
    assert versions.convert(CORE, "events.k8s.io/v1") == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod"},
        "note": "m",
        "deprecatedSource": {"component": "c"},
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
        "deprecatedCount": 2,
        "reportingController": "r",
        "reason": "R",
    }


@given(st.sets(st.sampled_from(sorted(CORE))))
def test_events_come_back_as_they_went(dropped):
    event = {field: value for field, value in CORE.items() if field not in dropped - {"apiVersion", "kind"}}
    assert versions.convert(versions.convert(event, "events.k8s.io/v1"), "v1") == event


def resource(name: str, utilization: int):
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": name, "target": target}}


PODS = {
    "type": "Pods",
    "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"kind": "Ingress", "name": "i"},
        "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
        "target": {"type": "Value", "value": "5"},
    },
}
EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "3"}},
}
CONTAINER = {
    "type": "ContainerResource",
    "containerResource": {
        "name": "cpu",
        "container": "c",
        "target": {"type": "Utilization", "averageUtilization": 70},
    },
}


def autoscaler(*metrics, **spec):
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"mine": "yes"}},
        "spec": {"maxReplicas": 3, "metrics": list(metrics), **spec},
        "status": {},
    }


def test_v1_shows_the_cpu_target_and_carries_the_rest_in_annotations():
    old = versions.convert(autoscaler(resource("cpu", 50), resource("memory", 60)), "autoscaling/v1")
    assert old["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    assert old["metadata"]["annotations"] == {
        "mine": "yes",
        "autoscaling.alpha.kubernetes.io/metrics": (
            '[{"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 60}}]'
        ),
    }


def test_v1_without_any_metric_means_eighty_percent():
    old = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {}, "spec": {}}
    assert versions.convert(old, "autoscaling/v2")["spec"]["metrics"] == [resource("cpu", 80)]


@given(
    st.lists(st.sampled_from([resource("memory", 60), PODS, OBJECT, EXTERNAL, CONTAINER]), max_size=4),
    st.booleans(),
)
def test_autoscalers_come_back_as_they_went(metrics, behaves):
    behavior = {"behavior": {"scaleDown": {"selectPolicy": "Max"}}} if behaves else {}
    new = autoscaler(resource("cpu", 50), *metrics, **behavior)
    assert versions.convert(versions.convert(new, "autoscaling/v1"), "autoscaling/v2") == new


def test_broken_annotations_are_dropped_and_break_nothing():
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "{"}},
        "spec": {"targetCPUUtilizationPercentage": 5},
    }
    assert versions.convert(old, "autoscaling/v2")["spec"]["metrics"] == [resource("cpu", 5)]


def test_where_things_are_stored():
    stored = {
        f"{rt.group_resource}/{rt.version}": versions.hub(rt).api_version
        for rt in resources.BUILTIN
        if versions.hub(rt) != rt
    }
    assert stored == {
        "events.events.k8s.io/v1": "v1",
        "horizontalpodautoscalers.autoscaling/v1": "autoscaling/v2",
    }

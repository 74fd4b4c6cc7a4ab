"""Deployments and their kin, jobs and cron jobs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.apis.batch import schedule
from pynetes.apis.registry import strategy_for
from pynetes.machinery import resources

LABELS = {"a": "b"}
POD = {"containers": [{"name": "c", "image": "i:1"}]}


def workload(pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": dict(LABELS)}, "spec": {**POD, **(pod or {})}}
    return {"spec": {"selector": {"matchLabels": dict(LABELS)}, "template": template, **spec}}


def job(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}, **spec}}


DEFAULTS = [
    (
        "deployments",
        workload(),
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        },
    ),
    ("deployments", workload(replicas=0), {"replicas": 0}),
    ("deployments", workload(strategy={"type": "Recreate"}), {"strategy": {"type": "Recreate"}}),
    (
        "deployments",
        workload(strategy={"rollingUpdate": {"maxSurge": 2}}),
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": "25%"}}},
    ),
    ("replicasets", workload(), {"replicas": 1}),
    (
        "daemonsets",
        workload(),
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        },
    ),
    (
        "statefulsets",
        workload(serviceName="s"),
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        },
    ),
    (
        "jobs",
        job(),
        {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}},
        },
    ),
    ("jobs", job(parallelism=3), {"parallelism": 3, "completions": None}),
    ("jobs", job(completions=5, completionMode="Indexed", backoffLimitPerIndex=1), {"backoffLimit": 2**31 - 1}),
    (
        "cronjobs",
        {"spec": {"schedule": "@daily", "jobTemplate": job()}},
        {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    ),
]


@pytest.mark.parametrize(("resource", "given", "expected"), DEFAULTS)
def test_defaults(create, resource, given, expected):
    made = create(resource, given)
    assert made.errors == []
    assert {field: made.obj["spec"].get(field) for field in expected} == expected
    assert made.obj["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ("deployments", {}),
        ("replicasets", {"replicas": 0}),
        ("statefulsets", {"replicas": 0, "availableReplicas": 0}),
        (
            "daemonsets",
            {
                "currentNumberScheduled": 0,
                "desiredNumberScheduled": 0,
                "numberMisscheduled": 0,
                "numberReady": 0,
            },
        ),
    ],
)
def test_a_status_sent_on_create_is_dropped(create, resource, status):
    made = create(resource, workload(serviceName="s") | {"status": {"replicas": 7, "numberReady": 9}})
    assert made.obj["status"] == status


MISMATCH = 'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'
ALWAYS = 'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'

REFUSED = [
    ("deployments", workload(selector=None), ["spec.selector: Required value", MISMATCH]),
    ("statefulsets", workload(selector=None), ["spec.selector: Required value", MISMATCH]),
    ("daemonsets", workload(selector=None), [MISMATCH]),
    (
        "deployments",
        {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"spec": dict(POD)}}},
        [MISMATCH.replace('{"a":"b"}', "null")],
    ),
    (
        "replicasets",
        workload(selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ),
    (
        "deployments",
        workload(selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ),
    ("deployments", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
    ("replicasets", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
    ("daemonsets", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
    ("statefulsets", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
    ("deployments", workload({"restartPolicy": "Never"}), [ALWAYS]),
    ("daemonsets", workload({"restartPolicy": "Never"}), [ALWAYS]),
    (
        "deployments",
        workload(replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        "deployments",
        workload(minReadySeconds=600),
        ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ),
    (
        "deployments",
        workload(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        [
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ],
    ),
    (
        "deployments",
        workload(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        [
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ],
    ),
    (
        "daemonsets",
        workload(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}),
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is "
            "non-zero"
        ],
    ),
    (
        "jobs",
        {"spec": {"template": {"spec": dict(POD)}}},
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ),
    (
        "jobs",
        job(parallelism=-1),
        ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        "jobs",
        job(completionMode="Indexed", parallelism=1),
        ["spec.completions: Required value: when completion mode is Indexed"],
    ),
    (
        "cronjobs",
        {"spec": {"schedule": "* * *", "jobTemplate": job()}},
        ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
    ),
    (
        "cronjobs",
        {"spec": {"schedule": "@daily", "timeZone": "Mars/Base", "jobTemplate": job()}},
        ['spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'],
    ),
    (
        "cronjobs",
        {"metadata": {"name": "n" * 53}, "spec": {"schedule": "@daily", "jobTemplate": job()}},
        [f'metadata.name: Invalid value: "{"n" * 53}": must be no more than 52 characters'],
    ),
]


@pytest.mark.parametrize(
    ("resource", "given", "expected"), REFUSED, ids=[f"{kind}-{errors[0][:50]}" for kind, _, errors in REFUSED]
)
def test_what_is_refused(create, resource, given, expected):
    assert create(resource, given).errors == expected


@pytest.mark.parametrize("resource", ["deployments", "replicasets", "daemonsets"])
def test_the_selector_is_fixed(create, update, resource):
    def change(obj):
        obj["spec"]["selector"] = {"matchLabels": {"c": "d"}}
        obj["spec"]["template"]["metadata"]["labels"] = {"c": "d"}

    assert update(resource, create(resource, workload()).obj, change).errors == [
        'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'
    ]


def test_a_daemon_set_counts_the_changes_of_its_template(create, update):
    def count(obj: dict[str, Any]) -> str:
        return obj["metadata"]["annotations"]["deprecated.daemonset.template.generation"]

    stored = create("daemonsets", workload()).obj
    assert count(stored) == "1"
    same = update("daemonsets", stored, lambda o: o["metadata"].update(annotations={"a": "b"})).obj
    assert (count(same), same["metadata"]["annotations"]["a"]) == ("1", "b")
    changed = update("daemonsets", same, lambda o: o["spec"]["template"]["spec"].update(hostNetwork=True)).obj
    assert count(changed) == "2"


def test_containers_of_a_stateful_set_mount_its_claim_templates(create):
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
    wanted = workload({"containers": [container]}, serviceName="s", volumeClaimTemplates=[claim])
    result = create("statefulsets", wanted)
    assert result.errors == []
    assert "volumes" not in result.obj["spec"]["template"]["spec"]
    other = {**wanted["spec"], "volumeClaimTemplates": []}
    path = "spec.template.spec.containers[0].volumeMounts[0].name"
    assert create("statefulsets", {"spec": other}).errors == [f'{path}: Not found: "data"']


def test_a_stateful_set_changes_only_in_some_fields(create, update):
    stored = create("statefulsets", workload(serviceName="s")).obj
    assert update("statefulsets", stored, lambda o: o["spec"].update(replicas=3)).errors == []
    assert update("statefulsets", stored, lambda o: o["spec"].update(serviceName="t")).errors == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden"
    ]


def test_the_generation_counts_changes_of_the_spec(create, update):
    stored = create("deployments", workload()).obj
    assert update("deployments", stored, lambda o: o["spec"].update(replicas=3)).obj["metadata"]["generation"] == 2
    assert (
        update("deployments", stored, lambda o: o["metadata"].update(labels={"x": "y"})).obj["metadata"]["generation"]
        == 1
    )
    annotated = update("deployments", stored, lambda o: o["metadata"].update(annotations={"x": "y"})).obj
    assert annotated["metadata"]["generation"] == 2


def test_a_status_update_keeps_spec_labels_and_generation(create, update):
    def change(obj):
        obj["spec"]["replicas"] = 9
        obj["metadata"]["labels"] = {"new": "label"}
        obj["status"] = {"replicas": 1, "readyReplicas": 1}

    made = update("deployments", create("deployments", workload()).obj, change, "status").obj
    assert made["spec"]["replicas"] == 1
    assert "labels" not in made["metadata"]
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {"replicas": 1, "readyReplicas": 1}


def test_a_status_that_contradicts_itself_is_refused(create, update):
    stored = create("deployments", workload()).obj

    def change(obj):
        obj["status"] = {"replicas": 1, "readyReplicas": 2}

    assert update("deployments", stored, change, "status").errors == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"
    ]


def test_a_stateful_set_and_its_service_are_named_by_labels(create, update):
    label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
    assert create("statefulsets", workload() | {"metadata": {"name": "a.b"}}).errors == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]
    (error,) = create("statefulsets", workload(serviceName="A_b")).errors
    assert error.startswith(f'spec.serviceName: Invalid value: "A_b": {label}')
    stored = create("statefulsets", workload(serviceName="A_b")).obj
    assert update("statefulsets", stored, lambda o: o["spec"].update(replicas=2)).errors == []


def test_a_job_is_selected_by_its_own_uid(create):
    made = create("jobs", job() | {"metadata": {"name": "j", "uid": "abc"}}).obj
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "abc",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": "abc",
        "job-name": "j",
    }


def test_a_job_with_a_selector_of_its_own_must_say_so(create):
    manual = {"manualSelector": True, "selector": {"matchLabels": LABELS}}
    template = {"metadata": {"labels": LABELS}, "spec": {**POD, "restartPolicy": "Never"}}
    made = create("jobs", {"spec": {**manual, "template": template}})
    assert made.errors == []
    assert made.obj["spec"]["template"]["metadata"]["labels"] == LABELS


def test_a_jobs_template_is_immutable_unless_it_is_suspended_and_never_started(create, update):
    def schedule_elsewhere(obj):
        obj["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}

    running = create("jobs", job()).obj
    (error,) = update("jobs", running, schedule_elsewhere).errors
    assert error.startswith("spec.template: Invalid value:")
    assert error.endswith("field is immutable")
    suspended = create("jobs", job(suspend=True)).obj
    assert update("jobs", suspended, schedule_elsewhere).errors == []


def test_a_suspended_jobs_resources_may_change_too(create, update):
    def grow(obj):
        (container,) = obj["spec"]["template"]["spec"]["containers"]
        container["resources"] = {"requests": {"cpu": "2"}}

    assert update("jobs", create("jobs", job()).obj, grow).errors != []
    assert update("jobs", create("jobs", job(suspend=True)).obj, grow).errors == []


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ({"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]}, True),
        ({"startTime": "2026-01-01T00:00:00Z"}, False),
        ({"active": 1, "conditions": [{"type": "Suspended", "status": "True"}]}, False),
    ],
)
def test_a_jobs_template_may_change_once_it_was_stopped(create, update, status, allowed):
    stopped = create("jobs", job(suspend=True)).obj | {"status": status}
    changed = update("jobs", stopped, lambda o: o["spec"]["template"]["spec"].update(nodeSelector={"disk": "ssd"}))
    assert (changed.errors == []) is allowed


def test_a_job_of_very_many_indexes_may_fail_few_of_them(create):
    def errors(**spec):
        many = {"completions": 200_000, "parallelism": 5, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
        return create("jobs", job(**many | spec)).errors

    suffix = (
        "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"
    )
    assert errors() == ["spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"]
    assert errors(maxFailedIndexes=10_000) == []
    assert errors(maxFailedIndexes=20_000, parallelism=20_000) == [
        f"spec.parallelism: Invalid value: 20000: {suffix}",
        f"spec.maxFailedIndexes: Invalid value: 20000: {suffix}",
    ]


def test_a_cron_jobs_failure_policy_is_defaulted(create):
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    made = create("cronjobs", {"spec": {"schedule": "@daily", "jobTemplate": job(podFailurePolicy=policy)}})
    assert made.errors == []
    (rule,) = made.obj["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_parallelism_may_change_and_completions_may_not(create, update):
    stored = create("jobs", job(completions=3)).obj
    assert update("jobs", stored, lambda o: o["spec"].update(parallelism=2)).errors == []
    assert update("jobs", stored, lambda o: o["spec"].update(completions=4)).errors == [
        "spec.completions: Invalid value: 4: field is immutable"
    ]


def test_jobs_orphan_their_pods_unless_asked():
    assert strategy_for(resources.lookup("jobs")).default_propagation == "Orphan"
    assert strategy_for(resources.lookup("deployments")).default_propagation == "Background"


# Cron expressions.


@pytest.mark.parametrize(
    "expression",
    ["* * * * *", "*/15 0-6 1,15 jan-mar MON", "@hourly", "@every 1h30m", "0 0 * * 0", "5/10 * ? * *"],
)
def test_cron_expressions_that_are_fine(expression):
    assert schedule.problem(expression) == ""


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "empty spec string"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    ],
)
def test_cron_expressions_that_are_not(expression, problem):
    assert schedule.problem(expression) == problem


@given(st.tuples(st.integers(0, 59), st.integers(0, 23), st.integers(1, 31), st.integers(1, 12), st.integers(0, 6)))
def test_any_moment_is_a_schedule(moment):
    assert schedule.problem(" ".join(map(str, moment))) == ""


@given(st.text())
def test_any_text_gets_an_answer(text):
    assert isinstance(schedule.problem(text), str)


THEN, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


def true(*kinds: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": THEN, "lastProbeTime": THEN} for kind in kinds]


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        (
            {"conditions": true("Complete")},
            [
                "status.conditions: Invalid value: cannot set Complete=True condition without the "
                "SuccessCriteriaMet=true condition",
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.startTime: Required value: startTime is required for finished job",
            ],
        ),
        (
            {"conditions": true("Failed"), "startTime": THEN},
            [
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true "
                "condition"
            ],
        ),
        (
            {"conditions": true("Failed", "FailureTarget"), "startTime": THEN, "active": 1, "terminating": 2},
            [
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
                "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
            ],
        ),
        (
            {"conditions": true("Complete", "SuccessCriteriaMet"), "startTime": LATER, "completionTime": THEN},
            [f'status.completionTime: Invalid value: "{THEN}": completionTime cannot be set before startTime'],
        ),
        ({"active": 1, "ready": 2}, ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
        (
            {"completedIndexes": "0", "failedIndexes": "0"},
            [
                'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed '
                "completion mode",
                'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex '
                "is null",
            ],
        ),
        ({"conditions": true("Complete", "SuccessCriteriaMet"), "startTime": THEN, "completionTime": LATER}, []),
    ],
)
def test_a_job_status_holds_together(create, update, status: dict[str, Any], errors: list[str]):
    stored = create("jobs", job()).obj
    assert update("jobs", stored, lambda o: o["status"].update(status), "status").errors == errors


def test_a_job_status_does_not_go_back(create, update):
    stored = create("jobs", job()).obj
    stored["status"] = {"startTime": THEN, "failed": 2, "conditions": true("FailureTarget")}
    changed = update("jobs", stored, lambda o: o.update(status={"startTime": LATER, "failed": 1}), "status")
    assert changed.errors == [
        "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
        "status.failed: Invalid value: 1: cannot decrease the failed counter",
        "status.startTime: Required value: startTime cannot be removed for unsuspended job",
    ]


def test_the_indexes_of_a_success_policy_are_read(create):
    rules = [
        {"succeededIndexes": "2-1"},
        {"succeededIndexes": "0,7"},
        {"succeededIndexes": "a"},
        {"succeededIndexes": "0-1", "succeededCount": 3},
    ]
    wanted = job(completionMode="Indexed", completions=4, successPolicy={"rules": rules})
    begin = "spec.successPolicy.rules"
    assert create("jobs", wanted).errors == [
        f'{begin}[0].succeededIndexes: Invalid value: "2-1": error parsing succeededIndexes: non-increasing order, '
        "previous: 2, current: 1",
        f'{begin}[1].succeededIndexes: Invalid value: "0,7": error parsing succeededIndexes: too large index: "7"',
        f'{begin}[2].succeededIndexes: Invalid value: "a": error parsing succeededIndexes: cannot convert string to '
        'integer for index: "a"',
        f"{begin}[3].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
        "specified succeededIndexes field)",
    ]

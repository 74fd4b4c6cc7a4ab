"""Budgets, namespaces, volumes, CronJobs, certificates, endpoints: decisions too small for a file each."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pynetes.controllers import cronjob_plan, disruption, endpoints, volume_matching
from pynetes.controllers.certificates import KUBELET_CLIENT, KUBELET_SERVING, SIGNERS, Authority, read_subject
from pynetes.controllers.clusterrole_aggregation import aggregate
from pynetes.controllers.cron_schedule import parse
from pynetes.controllers.namespace import Progress, conditions
from pynetes.controllers.node_ttl import next_step
from pynetes.controllers.options import Options
from pynetes.controllers.service_cidrs import may_go
from pynetes.controllers.service_pods import find_port
from pynetes.controllers.status import compact, with_condition
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "matched", "scale", "expected"),
    [
        ({"minAvailable": 2}, 3, None, (3, 2)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 1}, 3, 4, (4, 3)),
        ({"maxUnavailable": "30%"}, 3, 10, (10, 7)),
        ({"maxUnavailable": 9}, 3, 4, (4, 0)),
    ],
)
def test_what_a_budget_demands(spec: Obj, matched: int, scale: int | None, expected: tuple[int, int]) -> None:
    count = disruption.desired_healthy({"spec": spec}, matched, scale)
    assert (count.expected, count.desired) == expected


def test_a_granted_eviction_counts_as_gone_for_two_minutes() -> None:
    pods = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    granted = {
        "a": clock.format_time(NOW - timedelta(seconds=10)),
        "b": clock.format_time(NOW - timedelta(seconds=200)),
        "gone": clock.format_time(NOW),
    }
    found = disruption.still_disrupted({"status": {"disruptedPods": granted}}, pods, NOW)
    assert [*found.left] == ["a"]
    assert found.recheck == NOW + timedelta(seconds=110)
    assert found.survivors == [pods[1]]


def test_a_namespace_tells_what_holds_it() -> None:
    progress = Progress(remaining={"pods.": 2, "jobs.batch": 1}, finalizers=Counter({"example.com/x": 3}))
    table = {kind: (status, reason, message) for kind, status, reason, message in conditions(progress)}
    assert table["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances",
    )
    assert table["NamespaceFinalizersRemaining"][2] == (
        "Some content in the namespace has finalizers remaining: example.com/x in 3 resource instances"
    )
    assert table["NamespaceDeletionContentFailure"][:2] == ("False", "ContentDeleted")
    assert [kind for kind, *_ in conditions(Progress())] == [
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
        "NamespaceDeletionContentFailure",
        "NamespaceContentRemaining",
        "NamespaceFinalizersRemaining",
    ]


def volume(name: str, size: str, **spec: Any) -> Obj:
    base = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]}
    return {"metadata": {"name": name}, "spec": {**base, **spec}}


def claim(size: str = "2Gi", **spec: Any) -> Obj:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": "c", "namespace": "d", "uid": "u"}, "spec": {**base, **spec}}


@pytest.mark.parametrize(
    ("candidate", "wanted"),
    [
        (volume("v", "1Gi"), claim()),
        (volume("v", "5Gi", storageClassName="fast"), claim()),
        (volume("v", "5Gi", volumeMode="Block"), claim()),
        (volume("v", "5Gi"), claim(accessModes=["ReadWriteMany"])),
        (volume("v", "5Gi"), claim(selector={"matchLabels": {"a": "b"}})),
        (volume("v", "5Gi", claimRef={"namespace": "d", "name": "other"}), claim()),
        (volume("v", "5Gi", claimRef={"namespace": "d", "name": "c", "uid": "older"}), claim()),
    ],
    ids=["small", "class", "mode", "access", "selector", "taken", "taken-by-namesake"],
)
def test_what_does_not_fit_is_not_bound(candidate: Obj, wanted: Obj) -> None:
    assert volume_matching.choose(wanted, [candidate]) is None


def test_a_volume_kept_for_the_claim_is_preferred_to_a_smaller_one() -> None:
    kept = volume("kept", "9Gi", claimRef={"namespace": "d", "name": "c"})
    assert volume_matching.choose(claim(), [volume("small", "2Gi"), kept]) is kept
    bound = volume_matching.bind_volume(kept, claim())
    assert bound["spec"]["claimRef"]["uid"] == "u"
    assert volume_matching.BOUND_BY_CONTROLLER not in meta.annotations(bound)


def cron(last: str | None = None, **spec: Any) -> Obj:
    status = {"lastScheduleTime": last} if last else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "d", "uid": "u", "creationTimestamp": "2026-01-01T11:00:00Z"},
        "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"spec": {}}, **spec},
        "status": status,
    }


def test_the_latest_missed_time_is_the_one_that_runs() -> None:
    schedule = parse("*/10 * * * *")
    assert cronjob_plan.most_recent(cron(), schedule, NOW).at == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert cronjob_plan.most_recent(cron("2026-01-01T12:00:00Z"), schedule, NOW).at is None
    assert cronjob_plan.most_recent(cron(startingDeadlineSeconds=10), schedule, NOW).at is None


def test_missing_too_many_times_is_suspicious() -> None:
    due = cronjob_plan.most_recent(cron("2025-12-01T00:00:00Z"), parse("* * * * *"), NOW)
    assert due.too_many
    within = cronjob_plan.most_recent(
        cron("2025-12-01T00:00:00Z", startingDeadlineSeconds=86400), parse("* * * * *"), NOW
    )
    assert within.too_many
    assert due.at == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def test_a_scheduled_job_is_named_after_its_minute() -> None:
    at = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    made = cronjob_plan.make_job(cron(), at, at)
    assert meta.name(made) == f"c-{int(at.timestamp()) // 60}"
    assert made["metadata"]["annotations"][cronjob_plan.SCHEDULED_AT] == "2026-01-01T12:00:00Z"


def test_histories_are_trimmed_by_outcome() -> None:
    def ended(name: str, how: str) -> Obj:
        status = {"startTime": name, "conditions": [{"type": how, "status": "True"}]}
        return {"metadata": {"name": name}, "status": status}

    jobs = [ended(str(i), "Complete") for i in range(5)] + [ended(f"f{i}", "Failed") for i in range(2)]
    assert [meta.name(j) for j in cronjob_plan.history_to_delete(cron(), jobs)] == ["0", "1", "f0"]


def csr(
    common_name: str, organization: str = "system:nodes", dns: tuple[str, ...] = ()
) -> x509.CertificateSigningRequest:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def test_signers_refuse_what_is_not_a_kubelets() -> None:
    usages = {"digital signature", "client auth"}
    check = SIGNERS[KUBELET_CLIENT]
    assert check(read_subject(csr("system:node:n")), usages) is None
    assert check(read_subject(csr("system:node:n", "system:masters")), usages) is not None
    assert check(read_subject(csr("admin")), usages) is not None
    assert check(read_subject(csr("system:node:n", dns=("n",))), usages) is not None
    assert check(read_subject(csr("system:node:n")), {"server auth"}) is not None
    serving = SIGNERS[KUBELET_SERVING]
    assert serving(read_subject(csr("system:node:n", dns=("n",))), {"digital signature", "server auth"}) is None
    assert serving(read_subject(csr("system:node:n")), {"digital signature", "server auth"}) is not None


def test_a_signed_certificate_says_what_was_asked_and_no_more() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .sign(key, hashes.SHA256())
    )
    pem = Authority(root, key).sign(csr("system:node:n"), ["digital signature", "client auth"], 99e6, NOW)
    made = x509.load_pem_x509_certificate(pem)
    assert made.not_valid_after_utc == root.not_valid_after_utc
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    made.verify_directly_issued_by(root)
    client = x509.load_pem_x509_certificate(Authority(root, key).sign(csr("alice"), ["client auth"], 600, NOW))
    assert x509.KeyUsage.oid not in [extension.oid for extension in client.extensions]


def test_aggregation_takes_each_rule_once_and_not_its_own() -> None:
    rule, own = {"verbs": ["get"]}, {"verbs": ["own"]}
    labels = {"agg": "yes"}
    role = {
        "metadata": {"name": "all", "labels": labels},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}, {}]},
        "rules": [own],
    }
    parts = [{"metadata": {"name": n, "labels": labels}, "rules": [rule]} for n in ("b", "a")]
    assert aggregate(role, [role, *parts]) == [rule]


def serving_pod(name: str, ip: str, ready: bool = True) -> Obj:
    return {
        "metadata": {"name": name, "uid": name, "namespace": "d"},
        "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def test_ports_served_by_the_same_pods_share_a_subset() -> None:
    ports = [{"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81, "targetPort": 81}]
    service = {"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": ports}}
    (subset,) = endpoints.build_subsets(service, [serving_pod("x", "10.1.0.2"), serving_pod("y", "10.1.0.1", False)])
    assert [p["port"] for p in subset["ports"]] == [8080, 81]
    assert [a["ip"] for a in subset["addresses"]] == ["10.1.0.2"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.1.0.1"]


def test_a_headless_service_without_ports_lists_addresses_alone() -> None:
    service = {"metadata": {"name": "s"}, "spec": {"clusterIP": "None"}}
    (subset,) = endpoints.build_subsets(service, [serving_pod("x", "10.1.0.2")])
    assert "ports" not in subset
    assert subset["addresses"][0]["ip"] == "10.1.0.2"


def test_more_than_a_thousand_addresses_are_cut_ready_ones_last() -> None:
    ready = [{"ip": str(i)} for i in range(990)]
    waiting = [{"ip": str(i)} for i in range(50)]
    subsets = [{"addresses": ready, "notReadyAddresses": waiting}]
    assert endpoints.truncate(subsets)
    assert (len(subsets[0]["addresses"]), len(subsets[0]["notReadyAddresses"])) == (990, 10)
    assert not endpoints.truncate([{"addresses": ready}])


def test_a_port_name_is_found_in_containers_and_sidecars() -> None:
    pod = serving_pod("x", "1")
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 9}]}
    pod["spec"]["initContainers"] = [sidecar, {"ports": [{"name": "once", "containerPort": 8}]}]
    assert find_port(pod, {"port": 80, "targetPort": "web"}) == 8080
    assert find_port(pod, {"port": 80, "targetPort": "side"}) == 9
    assert find_port(pod, {"port": 80, "targetPort": "once"}) is None
    assert find_port(pod, {"port": 80, "targetPort": "web", "protocol": "UDP"}) is None
    assert find_port(pod, {"port": 80}) == 80


def test_a_condition_moves_its_time_only_with_its_status() -> None:
    first = with_condition([], "A", "True", "r", "m")
    assert with_condition(first, "A", "True", "r", "other") is first
    first[0]["lastTransitionTime"] = "long ago"
    assert with_condition(first, "A", "True", "new", "m")[0]["lastTransitionTime"] == "long ago"
    assert with_condition(first, "A", "False", "new", "m")[0]["lastTransitionTime"] != "long ago"


def test_empty_values_are_left_out_unless_they_are_always_shown() -> None:
    assert compact({"a": 0, "b": 0, "c": [], "d": "x"}, keep=("b",)) == {"b": 0, "d": "x"}


def test_the_size_of_the_cluster_sets_the_ttl_without_flapping() -> None:
    assert next_step(0, 100) == 0
    assert next_step(0, 101) == 1
    assert next_step(1, 95) == 1
    assert next_step(1, 89) == 0
    assert next_step(0, 5000) == 4


def cidr(name: str, *ranges: str, deleting: bool = False) -> Obj:
    metadata = {"name": name, **({"deletionTimestamp": "now"} if deleting else {})}
    return {"metadata": metadata, "spec": {"cidrs": [*ranges]}}


def test_a_service_range_goes_when_another_holds_its_addresses() -> None:
    going = cidr("going", "10.0.0.0/24", deleting=True)
    assert may_go(going, [], ["10.1.0.1", "fd00::1"])
    assert not may_go(going, [], ["10.0.0.7"])
    assert may_go(going, [cidr("wide", "10.0.0.0/16")], ["10.0.0.7"])
    assert not may_go(going, [cidr("wide", "10.0.0.0/16", deleting=True)], ["10.0.0.7"])


def test_a_disruption_that_did_not_happen_is_taken_back_after_two_minutes() -> None:
    def told(seconds: float, reason: str = "EvictionByEvictionAPI", phase: str = "Running") -> Obj:
        moment = clock.format_time(NOW - timedelta(seconds=seconds))
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": moment}
        return {"metadata": {}, "status": {"phase": phase, "conditions": [condition]}}

    assert disruption.seconds_until_stale(told(20), NOW) == 100
    assert disruption.seconds_until_stale(told(500), NOW) == 0
    assert disruption.seconds_until_stale(told(500, "TerminationByKubelet"), NOW) is None
    assert disruption.seconds_until_stale(told(500, phase="Failed"), NOW) is None
    assert disruption.seconds_until_stale({"metadata": {}}, NOW) is None


def test_controllers_are_chosen_by_their_names_of_today_and_of_old() -> None:
    chosen = Options(controllers=["deployment", "replicaset-controller"])
    assert [chosen.enabled(f"{name}-controller") for name in ("deployment", "replicaset", "job")] == [True, True, False]
    all_but = Options(controllers=["*", "-podgc"])
    assert (all_but.enabled("job-controller"), all_but.enabled("pod-garbage-collector-controller")) == (True, False)
    assert not Options(controllers=["*"]).enabled("token-cleaner-controller", by_default=False)
    assert Options(controllers=["*", "tokencleaner"]).enabled("token-cleaner-controller", by_default=False)
    assert Options(controllers=["*", "-jobs", "route"]).unknown(["job-controller"]) == ["-jobs"]

"""Jobs and CronJobs end to end against the API server."""

from typing import Any

from pynetes.machinery import meta

World = Any
JOBS, CRONS = "jobs.batch", "cronjobs.batch"


def job(name: str = "work", pod_spec: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    inner = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "a"}], **(pod_spec or {})}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": inner}, **spec}}


async def condition(world: World, kind: str, name: str = "work") -> Any:
    found = (await world.get(JOBS, name)).get("status", {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind and c["status"] == "True"), None)


async def test_a_job_runs_to_its_completions_and_frees_its_pods(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded"
    await world.create(JOBS, job(completions=5, parallelism=2))
    done = await world.eventually(lambda: condition(world, "Complete"))
    assert done["reason"] == "CompletionsReached"
    status = (await world.get(JOBS, "work"))["status"]
    assert status["succeeded"] == 5
    assert status["completionTime"]
    assert not (status.get("uncountedTerminatedPods") or {})

    async def freed() -> bool:
        pods = await world.items("pods")
        return len(pods) == 5 and not any(p["metadata"].get("finalizers") for p in pods)

    await world.eventually(freed)
    assert await world.eventually(lambda: world.events("Completed")) == ["Job completed"]


async def test_a_job_fails_when_its_backoff_limit_is_passed(world: World) -> None:
    world.nodes.script = lambda pod: "Failed"
    await world.create(JOBS, job(backoffLimit=0))
    failed = await world.eventually(lambda: condition(world, "Failed"))
    assert failed["reason"] == "BackoffLimitExceeded"
    assert failed["message"] == "Job has reached the specified backoff limit"
    assert (await world.get(JOBS, "work"))["status"]["failed"] == 1
    assert await condition(world, "FailureTarget")


async def test_a_deadline_ends_a_job_and_its_pods(world: World) -> None:
    await world.create(JOBS, job(activeDeadlineSeconds=1))
    failed = await world.eventually(lambda: condition(world, "Failed"))
    assert failed["reason"] == "DeadlineExceeded"
    assert failed["message"] == "Job was active longer than specified deadline"

    async def gone() -> bool:
        return not await world.names("pods")

    await world.eventually(gone)


async def test_an_indexed_job_runs_each_index(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded"
    await world.create(JOBS, job(completions=4, parallelism=4, completionMode="Indexed"))
    await world.eventually(lambda: condition(world, "Complete"))
    status = (await world.get(JOBS, "work"))["status"]
    assert status["completedIndexes"] == "0-3"
    assert status["succeeded"] == 4
    pods = sorted(await world.items("pods"), key=lambda p: p["spec"]["hostname"])
    assert [p["spec"]["hostname"] for p in pods] == ["work-0", "work-1", "work-2", "work-3"]
    assert pods[1]["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"
    assert pods[1]["metadata"]["generateName"] == "work-1-"
    assert pods[1]["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


async def test_a_suspended_job_has_no_pods_until_it_is_resumed(world: World) -> None:
    await world.create(JOBS, job(suspend=True))
    suspended = await world.eventually(lambda: condition(world, "Suspended"))
    assert suspended["reason"] == "JobSuspended"
    assert await world.names("pods") == []
    assert "startTime" not in (await world.get(JOBS, "work"))["status"]
    await world.patch(JOBS, "work", {"spec": {"suspend": False}})

    async def active() -> bool:
        status = (await world.get(JOBS, "work"))["status"]
        return status.get("active") == 1 and bool(status.get("startTime"))

    await world.eventually(active)
    await world.patch(JOBS, "work", {"spec": {"suspend": True}})

    async def stopped() -> bool:
        return not await world.names("pods") and bool(await condition(world, "Suspended"))

    await world.eventually(stopped)


async def test_pods_of_a_suspended_job_are_no_failures(world: World) -> None:
    await world.create(JOBS, job(backoffLimit=0, parallelism=3, completions=3))

    async def active(count: int | None) -> bool:
        return (await world.get(JOBS, "work"))["status"].get("active") == count

    await world.eventually(lambda: active(3))
    await world.patch(JOBS, "work", {"spec": {"parallelism": 2}})
    await world.eventually(lambda: active(2))
    await world.patch(JOBS, "work", {"spec": {"suspend": True}})

    async def stopped() -> bool:
        return not await world.names("pods") and await active(None)

    await world.eventually(stopped)
    assert "failed" not in (await world.get(JOBS, "work"))["status"]
    await world.patch(JOBS, "work", {"spec": {"suspend": False}})
    await world.eventually(lambda: active(2))


async def test_a_condition_that_changes_keeps_its_place(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded"
    await world.create(JOBS, job(suspend=True))
    await world.eventually(lambda: condition(world, "Suspended"))
    await world.patch(JOBS, "work", {"spec": {"suspend": False}})
    await world.eventually(lambda: condition(world, "Complete"))
    found = (await world.get(JOBS, "work"))["status"]["conditions"]
    assert [(c["type"], c["status"]) for c in found] == [
        ("Suspended", "False"),
        ("SuccessCriteriaMet", "True"),
        ("Complete", "True"),
    ]


async def test_a_policy_can_fail_the_job_at_once(world: World) -> None:
    world.nodes.script = lambda pod: "Failed"
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "In", "values": [1]}}
    await world.create(JOBS, job(backoffLimit=6, podFailurePolicy={"rules": [rule]}))
    failed = await world.eventually(lambda: condition(world, "Failed"))
    assert failed["reason"] == "PodFailurePolicy"
    (pod,) = await world.names("pods")
    assert failed["message"] == (
        f"Container app for pod default/{pod} failed with exit code 1 matching FailJob rule at index 0"
    )


async def test_ignored_failures_do_not_count(world: World) -> None:
    seen: list[str] = []

    def first_fails(pod: Any) -> str:
        if meta.uid(pod) not in seen:
            seen.append(meta.uid(pod))
        return "Failed" if seen[0] == meta.uid(pod) else "Succeeded"

    world.nodes.script = first_fails
    rule = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1]}}
    await world.create(JOBS, job(backoffLimit=0, podFailurePolicy={"rules": [rule]}))
    await world.eventually(lambda: condition(world, "Complete"), 30)
    status = (await world.get(JOBS, "work"))["status"]
    assert status.get("failed", 0) == 0
    assert status["succeeded"] == 1


async def test_a_success_policy_ends_the_job_early(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded" if pod["spec"]["hostname"] == "work-0" else "Running"
    rule = {"succeededIndexes": "0"}
    await world.create(
        JOBS, job(completions=3, parallelism=3, completionMode="Indexed", successPolicy={"rules": [rule]})
    )
    done = await world.eventually(lambda: condition(world, "Complete"))
    assert done["reason"] == "SuccessPolicy"
    assert done["message"] == "Matched rules at index 0"


async def test_failed_indexes_fail_the_job_when_all_have_run(world: World) -> None:
    world.nodes.script = lambda pod: "Failed" if pod["spec"]["hostname"] == "work-1" else "Succeeded"
    await world.create(JOBS, job(completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=0))
    failed = await world.eventually(lambda: condition(world, "Failed"))
    assert failed["reason"] == "FailedIndexes"
    status = (await world.get(JOBS, "work"))["status"]
    assert status["failedIndexes"] == "1"
    assert status["completedIndexes"] == "0,2"


async def test_a_finished_job_is_deleted_after_its_time(world: World) -> None:
    world.nodes.script = lambda pod: "Succeeded"
    await world.create(JOBS, job(ttlSecondsAfterFinished=1))
    await world.eventually(lambda: world.gone(JOBS, "work"))

    async def gone() -> bool:
        return not await world.names("pods")

    await world.eventually(gone)


async def test_a_cronjob_makes_the_job_of_the_minute_it_missed(world: World) -> None:
    spec = {"schedule": "*/1 * * * *", "jobTemplate": {"spec": job()["spec"]}}
    await world.create(CRONS, {"metadata": {"name": "tick"}, "spec": spec})
    past = "2020-01-01T00:00:00Z"
    cron = await world.get(CRONS, "tick")
    await world.client.update(CRONS, {**cron, "status": {"lastScheduleTime": past}}, subresource="status")

    async def started() -> Any:
        (made,) = await world.items(JOBS)
        status = (await world.get(CRONS, "tick"))["status"]
        return made if [a["name"] for a in status.get("active") or []] == [meta.name(made)] else None

    made = await world.eventually(started)
    assert meta.name(made).startswith("tick-")
    assert made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith(":00Z")
    owner = meta.controller_of(made)
    assert owner is not None
    assert owner["kind"] == "CronJob"
    world.nodes.script = lambda pod: "Succeeded"
    await world.nodes.retend()

    async def noticed() -> bool:
        status = (await world.get(CRONS, "tick"))["status"]
        return not status.get("active") and bool(status.get("lastSuccessfulTime"))

    await world.eventually(noticed)


async def test_a_cronjob_wonders_at_a_job_made_by_hand(world: World) -> None:
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job()["spec"]}}
    cron = await world.create(CRONS, {"metadata": {"name": "tick"}, "spec": spec})
    by_hand = job()
    by_hand["metadata"] = {"name": "by-hand", "ownerReferences": [{**meta.owner_reference(cron), "kind": "CronJob"}]}
    await world.create(JOBS, by_hand)

    async def told() -> bool:
        return bool(await world.events("UnexpectedJob"))

    await world.eventually(told)
    text = "Saw a job that the controller did not create or forgot: by-hand"
    assert set(await world.events("UnexpectedJob")) == {text}
    assert not (await world.get(CRONS, "tick")).get("status", {}).get("active")

"""A Job's policies: what a pod's failure means (podFailurePolicy), when success is reached early (successPolicy)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pynetes.controllers import job_indexes as indexes
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

Action = Literal["Count", "Ignore", "FailJob", "FailIndex"]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failed pod is to be taken; `message` says why the Job (or index) must fail at once."""

    action: Action
    message: str = ""


def judge_failure(job: Obj, pod: Obj) -> Failure:
    """The first rule of the policy that matches the failed pod; without one the failure counts."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        reason = _exit_code_match(rule, pod) or _condition_match(rule, pod)
        if reason:
            message = f"{reason} matching {rule['action']} rule at index {number}"
            return Failure(rule["action"], message)
    return Failure("Count")


def _exit_code_match(rule: Obj, pod: Obj) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    status = pod.get("status", {})
    for container in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if wanted.get("containerName") and wanted["containerName"] != container["name"]:
            continue
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
        if code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {container['name']} for pod {meta.key(pod)} failed with exit code {code}"
    return ""


def _condition_match(rule: Obj, pod: Obj) -> str:
    present = pod.get("status", {}).get("conditions") or []
    for pattern in rule.get("onPodConditions") or []:
        for condition in present:
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return f"Pod {meta.key(pod)} has condition {condition['type']}"
    return ""


def success_rule(job: Obj, succeeded: set[int]) -> str | None:
    """The message of the first success rule that these indexes satisfy."""
    completions = job["spec"].get("completions", 0)
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        chosen = indexes.parse(rule["succeededIndexes"], completions) if rule.get("succeededIndexes") else None
        matched = succeeded if chosen is None else succeeded & chosen
        if rule.get("succeededCount") is not None:
            reached = len(matched) >= rule["succeededCount"]
        else:
            reached = chosen is not None and chosen <= succeeded
        if reached:
            return f"Matched rules at index {number}"
    return None


def failure_count(pod: Obj) -> int:
    """How often the pod's index had failed when the pod was made."""
    text = meta.annotations(pod).get("batch.kubernetes.io/job-index-failure-count", "0")
    return int(text) if text.isdigit() else 0


def ignored_failures(pod: Obj) -> int:
    """How many failures of the pod's index were ignored when the pod was made."""
    text = meta.annotations(pod).get("batch.kubernetes.io/job-index-ignored-failure-count", "0")
    return int(text) if text.isdigit() else 0


def all_failures(pod: Obj) -> int:
    """How often the pod's index had failed when the pod was made, counted or ignored."""
    return failure_count(pod) + ignored_failures(pod)


def newly_failed_indexes(job: Obj, failed_pods: Iterable[Obj]) -> set[int]:
    """The indexes that have used up `backoffLimitPerIndex`, or that the policy fails at once."""
    limit = job["spec"].get("backoffLimitPerIndex")
    found: set[int] = set()
    if limit is None:
        return found
    for pod in failed_pods:
        index = indexes.index_of(pod)
        verdict = judge_failure(job, pod).action
        if index is None or verdict == "Ignore":
            continue
        if verdict == "FailIndex" or failure_count(pod) >= limit:
            found.add(index)
    return found

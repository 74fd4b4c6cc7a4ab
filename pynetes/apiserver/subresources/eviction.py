"""Evicting a pod: deleting it if no disruption budget stands against it (`pods/eviction`).

The budget's status says how many of its pods may go. An eviction takes one of them away by a conditional update before
it deletes the pod, so two evictions at once never both use the last one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pynetes.apiserver import bodies, negotiate, parameters
from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.registry import Context, Registry
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import subresource
from pynetes.machinery import clock, errors, meta, resources, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

PODS = resources.lookup("pods")
BUDGETS = resources.lookup("poddisruptionbudgets.policy")
_EVICTION = "io.k8s.api.policy.v1.Eviction"
_MAX_DISRUPTED = 2000
_RETRY_SECONDS = 10
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


@subresource("pods", "eviction", verbs=("create",))
async def evict(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Evict the pod in the path."""
    ctx = parameters.context(request, "CreateOptions")
    raw = negotiate.body_json(request, "Eviction")
    # kubectl before v1.22 speaks of evictions in v1beta1, which outlived the rest of that version.
    eviction = bodies.decode_as(raw, _EVICTION, "policy/v1", "Eviction", ctx, also=("policy/v1beta1",))
    if meta.name(eviction) != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    registry = server.registry
    options = dict(eviction.get("deleteOptions") or {})
    if options.get("dryRun"):
        ctx.dry_run = True
    attributes = Attributes(
        operation="CREATE",
        rt=PODS,
        subresource="eviction",
        namespace=namespace,
        name=name,
        obj=eviction,
        user=ctx.user,
        dry_run=ctx.dry_run,
        options=ctx.options,
    )
    await registry.admit(attributes, ctx)
    await registry.validate(attributes, ctx)
    pod = registry.get(PODS, namespace, name)
    if pod is None:
        raise errors.not_found("", "pods", name)
    if not can_ignore_budget(pod):
        await _against_budgets(registry, pod, ctx)
        await _mark(registry, pod, ctx)
    await registry.delete(PODS, namespace, name, ctx, options)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return negotiate.object_response(request, status, 201)


def can_ignore_budget(pod: Obj) -> bool:
    """Whether nothing is lost with the pod: it has ended, is ending, or has not begun."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or meta.is_deleting(pod)


def budgets_of(pod: Obj, budgets: list[Obj]) -> list[Obj]:
    """The budgets whose selector selects the pod; an absent selector selects none."""
    labels = meta.labels(pod)
    return [
        budget
        for budget in budgets
        if selectors.from_label_selector((budget.get("spec") or {}).get("selector")).matches(labels)
    ]


def unhealthy_may_go(pod: Obj, budget: Obj) -> bool:
    """Whether the budget lets a pod that is not ready go without counting it (KEP-3017)."""
    if meta.is_condition_true(pod, "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    return desired > 0 and status.get("currentHealthy", 0) >= desired


async def _against_budgets(registry: Registry, pod: Obj, ctx: Context) -> None:
    found = budgets_of(pod, registry.list(BUDGETS, meta.namespace(pod)))
    if len(found) > 1:
        raise StatusError(
            500,
            "",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    if not found or unhealthy_may_go(pod, found[0]):
        return
    budget = found[0]
    if ctx.dry_run:
        spend(budget, meta.name(pod))
        return
    quiet = Context(ctx.user, field_manager=ctx.field_manager, skip_admission=True)
    await registry.update(
        BUDGETS, meta.namespace(pod), meta.name(budget), _spender(meta.name(pod)), quiet, subresource="status"
    )


def _spender(pod_name: str) -> Callable[[Obj], None]:
    return lambda budget: spend(budget, pod_name)


def spend(budget: Obj, pod_name: str) -> None:
    """Take one disruption from the budget for the pod, or refuse as upstream does."""
    name, status = meta.name(budget), budget.setdefault("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _later(f"The disruption budget {name} is still being processed by the server.")
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise errors.forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    disrupted = status.setdefault("disruptedPods", {})
    if len(disrupted) > _MAX_DISRUPTED:
        raise errors.forbidden(
            "policy",
            "poddisruptionbudget",
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    if allowed == 0:
        # No time to come back at: clients must decide for themselves, and tell their user meanwhile.
        raise _later(_refusal(budget), retry_after=0)
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        meta.set_condition(
            budget,
            "DisruptionAllowed",
            "False",
            "InsufficientPods",
            observedGeneration=status.get("observedGeneration", 0),
        )
        for condition in status["conditions"]:
            condition.setdefault("message", "")
    disrupted[pod_name] = clock.timestamp()


def _refusal(budget: Obj) -> str:
    name, status = meta.name(budget), budget["status"]
    condition = meta.get_condition(budget, "DisruptionAllowed") or {}
    if condition.get("status") == "False" and condition.get("reason") == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
            f"{condition.get('message', '')}"
        )
    return (
        f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
        f"{status.get('currentHealthy', 0)} currently"
    )


def _later(cause: str, retry_after: int = _RETRY_SECONDS) -> StatusError:
    error = errors.too_many_requests(VIOLATES, retry_after)
    error.details["causes"] = [{"reason": "DisruptionBudget", "message": cause}]
    return error


async def _mark(registry: Registry, pod: Obj, ctx: Context) -> None:
    """Write into the pod why it goes, for whoever asks later."""
    if ctx.dry_run:
        return

    def marked(current: Obj) -> None:
        said = ("EvictionByEvictionAPI", "Eviction API: evicting")
        meta.set_condition(current, "DisruptionTarget", "True", *said, **meta.observed_by(current))

    quiet = Context(ctx.user, field_manager=ctx.field_manager, skip_admission=True)
    await registry.update(PODS, meta.namespace(pod), meta.name(pod), marked, quiet, subresource="status")

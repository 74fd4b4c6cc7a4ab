"""The coordination group: leases."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class LeaseStrategy(Strategy):
    """A lease: who holds something, and until when."""

    allow_create_on_update = True
    allow_unconditional_update = False
    columns = (printing.NAME, column("Holder", description="Who holds the lease."), printing.AGE)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        seconds = spec.get("leaseDurationSeconds")
        if seconds is not None and seconds <= 0:
            errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
        errors.non_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
        strategy = spec.get("strategy")
        if spec.get("preferredHolder") and not strategy:
            errors.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.spec(obj).get("holderIdentity") or "", printing.age(obj)]


STRATEGIES: dict[str, type[Strategy]] = {"leases.coordination.k8s.io": LeaseStrategy}

"""Component statuses: computed, never stored; only their table is described here."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class ComponentStatusStrategy(Strategy):
    """The health of a control plane component."""

    deprecated = "v1 ComponentStatus is deprecated in v1.19+"
    columns = (
        printing.NAME,
        column("Status", description="Healthy, Unhealthy or Unknown."),
        column("Message", description="What the component said."),
        column("Error", description="Why it could not be asked."),
    )

    def row(self, obj: Obj) -> list[Any]:
        healthy = next((c for c in obj.get("conditions") or [] if c.get("type") == "Healthy"), None)
        if healthy is None:
            return [meta.name(obj), "Unknown", "", ""]
        word = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
        return [meta.name(obj), word, healthy.get("message", ""), healthy.get("error", "")]

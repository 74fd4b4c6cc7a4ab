"""The table that a run prints."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """Rows of (what, figure, unit), in the order measured."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, what: str, figure: float, unit: str) -> None:
        """One figure; printed at once as well, since a run takes minutes."""
        text = f"{figure:,.0f}" if figure >= 100 else f"{figure:,.2f}"
        self.rows.append((what, text, unit))
        print(f"{what}: {text} {unit}", flush=True)

    def table(self) -> str:
        """All rows as a Markdown table."""
        lines = ["", "| what | figure |", "|---|---|"]
        return "\n".join([*lines, *(f"| {what} | {figure} {unit} |" for what, figure, unit in self.rows)])

"""The table: what limits.toml asks for, beside what a run measured."""
import operator
import statistics
import tomllib
from dataclasses import dataclass
from pathlib import Path

SIGNS = {">=": operator.ge, "<=": operator.le}
COLUMNS = ("row", "compared with", "median [min..max]", "the floor's", "budget", "goal", "verdict")
# A budget that ends so is a share of what the floor reaches against the same peer in the same run.
OF_THE_FLOOR = " of the floor's"


@dataclass
class Limit:
    """One row of limits.toml. The part of its id before the slash names the part of the run that measures it."""

    id: str
    row: str
    than: str
    budget: str
    goal: str = ""
    gate: str = ""
    unit: str = ""

    @property
    def part(self):
        return self.id.split("/")[0]

    def keeps(self, figure, bound):
        value = figure.share if bound.endswith(OF_THE_FLOOR) else figure.median
        return holds(value, bound.removesuffix(OF_THE_FLOOR))

    def verdict(self, figure):
        if not figure or not figure.values or (self.budget.endswith(OF_THE_FLOOR) and not figure.floor):
            return "not measured"
        if figure.unsteady:
            return f"none: {figure.unsteady}"
        if not self.budget:
            return "-"
        if self.goal and self.keeps(figure, self.goal):
            return "met, goal too"
        return "met" if self.keeps(figure, self.budget) else "missed"


def holds(value, bound):
    """Whether `value` keeps a bound such as `<= 1.1`."""
    sign, number = bound.split()
    return SIGNS[sign](value, float(number))


def limits():
    """Every row by its id, in the order of the file."""
    rows = tomllib.loads((Path(__file__).parent / "limits.toml").read_text())["row"]
    return {row["id"]: Limit(**row) for row in rows}


def show(value):
    """Three figures are what a run can tell."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def found(figure, unit):
    if not figure or not figure.values:
        return ""
    middle = show(figure.median) + (f" {unit}" if unit else "")
    low, high = min(figure.values), max(figure.values)
    return f"{middle} [{show(low)}..{show(high)}]" if len(figure.values) > 1 else middle


def beside_floor(figure):
    """What the floor reached, and our share of it."""
    if not figure or not figure.floor or not figure.values:
        return ""
    return f"{show(statistics.median(figure.floor))}, ours {figure.share:.2f} of it"


def render(figures, parts, aligned=True):
    """The table of the chosen parts, in Markdown; aligned for the terminal."""
    lines = [COLUMNS]
    for limit in limits().values():
        if limit.part in parts:
            figure = figures.get(limit.id)
            measured = found(figure, limit.unit), beside_floor(figure)
            lines.append((limit.row, limit.than, *measured, limit.budget, limit.goal, limit.verdict(figure)))
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines)]
    lines.insert(1, tuple("-" * max(width, 3) for width in widths))
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)

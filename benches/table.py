"""The table: what limits.toml asks for, beside what a run measured."""
import operator
import statistics
import tomllib
from dataclasses import dataclass

from harness import HERE

SIGNS = {">=": operator.ge, "<=": operator.le}
COLUMNS = ("row", "compared with", "ratio, median [min..max]", "budget", "goal", "verdict")


@dataclass
class Limit:
    """One row of limits.toml. The part of its id before the slash names the function of rows.py that measures it."""

    id: str
    row: str
    than: str
    budget: str
    goal: str = ""
    unit: str = ""

    @property
    def part(self):
        return self.id.split("/")[0]

    def holds(self, value):
        """Whether `value` keeps the budget."""
        return within(value, self.budget)

    def verdict(self, values):
        if not values:
            return "not measured"
        median = statistics.median(values)
        if self.goal and within(median, self.goal):
            return "met, goal too"
        return "met" if self.holds(median) else "missed"


def within(value, bound):
    sign, number = bound.split()
    return SIGNS[sign](value, float(number))


def limits():
    """Every row by its id, in the order of the file."""
    rows = tomllib.loads((HERE / "limits.toml").read_text())["row"]
    return {row["id"]: Limit(**row) for row in rows}


def show(value):
    """Three figures are what a run can tell."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def figure(values, unit):
    if not values:
        return ""
    middle = show(statistics.median(values)) + (f" {unit}" if unit else "")
    return f"{middle} [{show(min(values))}..{show(max(values))}]" if len(values) > 1 else middle


def render(measured, parts):
    """The table of the chosen parts, in Markdown, aligned for the terminal."""
    lines = [COLUMNS]
    for limit in limits().values():
        if limit.part in parts:
            values = measured.get(limit.id, [])
            lines.append((limit.row, limit.than, figure(values, limit.unit), limit.budget, limit.goal, limit.verdict(values)))
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)

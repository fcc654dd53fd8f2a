"""Makes what pages show and do not say themselves: pictures, in light and dark, and figures of the benchmarks.

Writes into this repository, or below the folder that is named.
"""
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benches"))

import flow
import plot
from report import record, table
from themes import THEMES

# What the README shows of the rows: what it is, and how the figure reads. Where we lose, too.
FRONT = {
    "cold/express": ("CPU of Express as documented, for the first session of a user", "{} times ours"),
    "warm/express": ("CPU of Express with a cache, for a session that is kept", "{} times ours"),
    "warm/nginx": ("CPU of nginx, where it only ever says the same", "{} times ours"),
    "herd/at_once": ("calls for a token when 200 connections ask at once for one user", "{}"),
    "outage/failed": ("requests that fail while the provider is down for most of a session's life", "{}"),
    "memory/idle": ("memory, idle", "{} MB"),
}


def numbers(figures):
    lines = [f"| {meaning} | {form.format(table.show(figures[row].median))} |" for row, (meaning, form) in FRONT.items()]
    return "\n".join(["| | measured |", "|---|---|", *lines])


def newest(figures):
    """The whole table, and which runs it is from."""
    runs = " and ".join(f"{date} at {commit}" for date, commit in record.runs())
    parts = {limit.part for limit in table.limits().values()}
    return f"Taken on {runs}.\n\n{table.render(figures, parts, aligned=False)}"


def between(text, name, content):
    """The text with other content between the marks of this name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}{content}\n{end}{rest.split(end, 1)[1]}"


out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
if len(sys.argv) > 2 or not out.is_dir():
    sys.exit(f"{__doc__}\n{' '.join(sys.argv[1:])}: no folder that is there")
(out / "docs/images").mkdir(parents=True, exist_ok=True)
source = tomllib.loads((ROOT / "docs/images/flow.toml").read_text())
figures = record.read()
for theme in THEMES:
    (out / f"docs/images/flow-{theme}.svg").write_text(flow.draw(source, theme))
    (out / f"docs/images/performance-{theme}.svg").write_text(plot.draw(figures, theme))
for page, name, content in [("README.md", "numbers", numbers(figures)), ("docs/performance.md", "table", newest(figures))]:
    (out / page).write_text(between((ROOT / page).read_text(), name, content))

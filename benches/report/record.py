"""What runs found, kept: the newest figure of each row in results.json, each run in a line of history.jsonl."""
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

from .figure import Figure

HERE = Path(__file__).resolve().parent
RESULTS, HISTORY = HERE / "results.json", HERE / "history.jsonl"


def read():
    """The newest figure of each row."""
    return {row: Figure.of(kept) for row, kept in json.loads(RESULTS.read_text()).items()}


def runs():
    """The runs whose figures are the newest ones, as day and commit, the latest last."""
    return sorted({(kept["date"], kept["commit"]) for kept in json.loads(RESULTS.read_text()).values()})


def keep(figures):
    """Puts the figures of a run over those before, and the whole run at the end of the history."""
    rows = {row: figure.record() for row, figure in sorted(figures.items())}
    run = circumstances()
    newest = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    newest |= {row: kept | {"date": run["date"], "commit": run["commit"]} for row, kept in rows.items()}
    lines = ",\n".join(f" {json.dumps(row)}: {json.dumps(kept)}" for row, kept in sorted(newest.items()))
    RESULTS.write_text(f"{{\n{lines}\n}}\n")
    with HISTORY.open("a") as history:
        history.write(json.dumps(run | {"rows": rows}) + "\n")


def circumstances():
    """When, of which commit, and on what kind of machine."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }

#!/usr/bin/env python3
"""Measures sidemint beside its floors and its peers, and prints one table of ratios.

The parts are those of parts/; all of them by default. Progress goes to standard error, the table to standard output. A part
that cannot run says why, the others run all the same, and the exit code is 1. With BENCH_SMOKE=1 each part runs for a
second or two, to tell whether it runs; the gate `make instructions` stands for the part of that name.
"""
import argparse
import os
import sys
import time
import traceback

from harness import CPUS, SMOKE, note
from parts import PARTS
from report import record
from report.figure import Figure
from report.table import render


def measure(part, figures):
    """Whether the part ran; what it measured goes into `figures`."""
    note(f"{part} (load average {os.getloadavg()[0]:.1f})")
    begin = time.monotonic()
    try:
        rows = PARTS[part]()
        figures |= {row: found if isinstance(found, Figure) else Figure(found) for row, found in rows.items()}
    except SystemExit as problem:
        note(f"  FAILED: {problem}")
        return False
    except Exception:  # whatever it is, the other parts can still be measured
        note(f"  FAILED: {traceback.format_exc()}")
        return False
    note(f"  took {time.monotonic() - begin:.0f} s")
    return True


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    words.add_argument("--record", action="store_true", help="keep the figures in report/")
    asked = words.parse_args()
    chosen = asked.parts or [part for part in PARTS if not (SMOKE and part == "instructions")]
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    if len(CPUS) < 2:
        sys.exit("two cores are needed, one for the server and one for the load")
    if SMOKE and asked.record:
        sys.exit("a run of a second says nothing that is worth keeping: leave BENCH_SMOKE or --record out")
    figures = {}
    failed = [part for part in chosen if not measure(part, figures)]
    figures = {row: figure for row, figure in figures.items() if figure.values}
    if SMOKE:
        print(f"bench: {len(chosen) - len(failed)} parts ran, {len(failed)} failed; {len(figures)} rows have figures")
    else:
        print(render(figures, chosen))
    if asked.record:
        record.keep(figures)
    if failed:
        sys.exit(f"could not run: {', '.join(failed)}")


if __name__ == "__main__":
    main()

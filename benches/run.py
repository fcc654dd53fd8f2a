#!/usr/bin/env python3
"""Measures sidemint beside its floors and its peers, and prints one table of ratios.

    run.py [PART…]

The parts are those of rows.py; all of them by default. Progress goes to standard error, the table to standard output. A part
that cannot run says why, the others run all the same, and the exit code is 1. With BENCH_SMOKE=1 each part runs for a
second or two, to tell whether it runs; the gate `make instructions` stands for the part of that name.
"""
import os
import sys
import time
import traceback

from harness import CPUS, SMOKE, note
from rows import PARTS
from table import render


def measure(part, measured):
    """Whether the part ran; what it measured goes into `measured`."""
    note(f"{part} (load average {os.getloadavg()[0]:.1f})")
    begin = time.monotonic()
    try:
        measured |= PARTS[part]()
    except SystemExit as problem:
        note(f"  FAILED: {problem}")
        return False
    except Exception:  # whatever it is, the other parts can still be measured
        note(f"  FAILED: {traceback.format_exc()}")
        return False
    note(f"  took {time.monotonic() - begin:.0f} s")
    return True


def main():
    chosen = sys.argv[1:] or [part for part in PARTS if not (SMOKE and part == "instructions")]
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    if len(CPUS) < 2:
        sys.exit("two cores are needed, one for the server and one for the load")
    measured = {}
    failed = [part for part in chosen if not measure(part, measured)]
    if SMOKE:
        print(f"bench: {len(chosen) - len(failed)} parts ran, {len(failed)} failed; {len(measured)} rows have figures")
    else:
        print(render(measured, chosen))
    if failed:
        sys.exit(f"could not run: {', '.join(failed)}")


if __name__ == "__main__":
    main()

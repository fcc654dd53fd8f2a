#!/usr/bin/env python3
"""Measures sidemint beside its floors and its peers, and prints one table of ratios.

    run.py [PART…]

The parts are those of rows.py; all of them by default. Progress goes to standard error, the table to standard output.
"""
import os
import sys
import time

from harness import CPUS, note
from rows import PARTS
from table import render


def main():
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    if len(CPUS) < 2:
        sys.exit("two cores are needed, one for the server and one for the load")
    measured = {}
    for part in chosen:
        note(f"{part} (load average {os.getloadavg()[0]:.1f})")
        begin = time.monotonic()
        measured |= PARTS[part]()
        note(f"  took {time.monotonic() - begin:.0f} s")
    print(render(measured, chosen))


if __name__ == "__main__":
    main()

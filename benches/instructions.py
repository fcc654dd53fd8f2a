#!/usr/bin/env python3
"""Instructions per request: the one figure of speed that a busy machine cannot move, fit to gate on.

    instructions.py SIDEMINT FLOOR_WARP

Each server is warmed up under valgrind, and only then are the instructions of so many requests counted: what a process
does once, such as seeding its random numbers, varies from run to run and is left out. Valgrind hides the newest
instructions (AVX-512, SHA), so signatures look dearer than they are; HTTP, routing and the cache do not. The limits are
those of the `instructions/…` rows in report/limits.toml.
"""
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import peers
from harness import SCRATCH, Connection
from report.table import holds, limits

WARM_UP, COUNTED = 500, 5_000
USERS = 100


def drive(server, requests):
    connection = Connection(server.port)
    for number in range(requests):
        connection.get(number % USERS, server.path)
    connection.close()


def count(server, switch):
    subprocess.run(["callgrind_control", "-i", switch, str(server.process.pid)], check=True, stdout=subprocess.DEVNULL)


def per_request(server):
    """Instructions of one warm request."""
    log = Path(SCRATCH.name, "callgrind.log")
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--log-file={log}"]
    tool.append(f"--callgrind-out-file={Path(SCRATCH.name, 'callgrind.out')}")
    with replace(server, command=[*tool, *server.command]) as running:
        drive(running, WARM_UP)
        count(running, "on")
        drive(running, COUNTED)
        count(running, "off")
    return int(re.search(r"Collected : (\d+)", log.read_text())[1]) / COUNTED


def least(make):
    """The least of three processes: seeds of hash tables, and timers where the machine is slow, add up to a hundredth and take
    nothing away."""
    return min(per_request(make()) for _ in range(3))


def measure():
    """For each row: what is measured and what it is compared with, by name."""
    floor = least(lambda: peers.rust("floor_warp"))
    session = least(lambda: peers.sidemint("warm session", "local", "subrequest"))
    subrequest = least(lambda: peers.sidemint("warm subrequest", "local", "subrequest", path="/auth"))
    return {
        "instructions/warm": {"sidemint": session, "bare warp": floor},
        "instructions/subrequest": {"subrequest": subrequest, "session": session},
    }


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    peers.SIDEMINT, peers.RUST = Path(sys.argv[1]), Path(sys.argv[2]).parent
    failed = 0
    measured = measure()
    for row, counts in measured.items():
        (ours, count), (theirs, base) = counts.items()
        limit, ratio = limits()[row], count / base
        gate = limit.gate or limit.budget
        failed += not holds(ratio, gate)
        print(f"instructions per warm request: {ours} {count:.0f}, {theirs} {base:.0f}, ratio {ratio:.3f} (limit {gate})")
    print(f"instructions: {len(measured) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()

"""The parts of the table about what a server takes: memory, connections, time to start, size."""
import contextlib
import os
import resource
import subprocess
from pathlib import Path

import peers
from harness import PRIVATE, SCRATCH, Connection, interleave, note, present, quick, speed, wrk


def rsa_key():
    path = Path(SCRATCH.name, "rsa.pem")
    if not path.exists():
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-out", path], check=True)
    return {"SIDEMINT_SIGNING_KEY_FILE": path}


def every(server, users):
    """Asks for each of `users`, however long that takes."""
    seconds = 2
    while wrk(server, seconds=seconds, users=users).requests < users:
        seconds *= 2


def memory():
    """Users come in the same order each time round, so a cache that holds a fifth of them misses on every request."""
    few, many = quick(100, 10_000), quick(2000, 100_000)
    measured = {row: [] for row in ("memory/private", "memory/idle", "memory/user", "memory/churn")}
    for _ in range(quick(1, 3)):
        with peers.sidemint("sidemint", "start", env=rsa_key()) as idle:
            measured["memory/private"].append(idle.memory(PRIVATE) / 1e6)
            measured["memory/idle"].append(idle.memory() / 1e6)
        with peers.sidemint("sidemint", "local", cache__max_entries=200_000, cache__max_bytes=2**30) as filling:
            every(filling, few)
            before = filling.memory(PRIVATE)
            every(filling, many)
            measured["memory/user"].append((filling.memory(PRIVATE) - before) / (many - few) - len(filling.body))
        with peers.sidemint("sidemint", "local", cache__max_entries=many // 5) as churning:
            every(churning, many // 5)
            once = churning.memory(PRIVATE)
            every(churning, many)
            measured["memory/churn"].append(churning.memory(PRIVATE) / once)
    return measured


def idle():
    """What the peers hold after their first answer, and what they take on a disk with their modules."""
    subjects = {
        "nginx": peers.nginx(),
        "envoy": peers.envoy(),
        "go": peers.go("cached"),
        "express": peers.node("Express", "express.mjs", "cached"),
        "fastapi": peers.fastapi("FastAPI", "docs"),
    }
    measured = {}
    for row, peer in subjects.items():
        if present([peer]):
            with peers.provider(), peer:
                measured[f"idle/{row}"] = [peer.memory() / 1e6]
            measured[f"idle/{row}-disk"] = [on_disk(peer) / 1e6]
    return measured


def on_disk(server):
    """Bytes of its program and of the folders that it needs."""
    program = Path(subprocess.run(["which", server.command[0]], capture_output=True, text=True, check=True).stdout.strip())
    # The program of an environment of Python is a script in a folder of that environment.
    folders = [program.parents[1]] if (program.parents[1] / "pyvenv.cfg").exists() else [*server.needs]
    files = [program.resolve(), *(file for folder in folders for file in Path(folder).rglob("*") if file.is_file() and not file.is_symlink())]
    return sum(file.stat().st_size for file in files)


@contextlib.contextmanager
def open_connections(server, count):
    """So many connections that have each had an answer and stay open."""
    connections = []
    try:
        for user in range(count):
            connections.append(Connection(server.port))
            connections[-1].get(user % 1000, server.path)
        yield
    finally:
        for connection in connections:
            connection.close()


def connections():
    """Ten thousand of them, idle and at work."""
    count = quick(500, 10_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def subject(name):
        return peers.sidemint(name, "local", server__max_connections=2 * count)

    def each(server):
        with server:
            with open_connections(server, 1000 if count > 1000 else 50):
                pass  # what the first ones take is there for all later ones
            before = server.memory(PRIVATE)
            with open_connections(server, count):
                return (server.memory(PRIVATE) - before) / count

    idle_ones = []
    for _ in range(quick(1, 3)):
        ours, floor = each(subject("sidemint")), each(peers.rust("floor_hyper"))
        note(f"  an idle connection: {ours:.0f} bytes, {floor:.0f} of bare hyper")
        idle_ones.append(ours / floor)
    busy = [peers.rust("floor_warp"), subject("sidemint")]
    for server in busy:
        server.connections = count
    return {"connections/idle": idle_ones, "connections/busy": speed(interleave(busy), "sidemint", "floor_warp")}


def start():
    key = rsa_key()
    ratios = []
    for _ in range(quick(1, 15)):
        with peers.rust("floor_hyper") as floor, peers.sidemint("sidemint", "start", env=key) as ours:
            ratios.append(ours.ready_ms / floor.ready_ms)
    return {"start/hyper": ratios}


def size():
    return {"size/binary": [os.stat(peers.SIDEMINT).st_size / 1e6]}

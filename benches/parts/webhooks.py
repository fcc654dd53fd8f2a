"""The part of the table about webhooks: what is proven, kept and delivered, beside what each costs at least."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import peers
from harness import HERE, LOAD_CPU, PORTS, SCRATCH, Connection, Server, on_cpu, present, quick

SECRET = "whsec_0123456789abcdef0123456789abcdef0123456789abcdef"
# 32 bytes, as Standard Webhooks writes a key.
SIGN_KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
# A disk, where the folder of temporary files is one in memory.
DISK = Path(os.environ.get("BENCH_DISK", HERE))
MEMORY = Path("/dev/shm")
BYTES = 2048
# Sessions at a rate that leaves most of the core to the rest.
SESSIONS = {"rate": 500, "secs": quick(2, 8), "connections": 20, "users": 100, "skip": 1}
FOLDERS = []


def secret(name, text):
    path = Path(SCRATCH.name, name)
    path.write_text(text)
    return path


def subject(name, folder, app=1, **keys):
    """The subject with one webhook, and sessions beside it."""
    hooks, ops = next(PORTS), next(PORTS)
    own = {
        "ops__listen": f"127.0.0.1:{ops}",
        "webhook_server__listen": f"127.0.0.1:{hooks}",
        "queue__dir": folder,
        "webhooks__chat__to": f"http://127.0.0.1:{app}/hooks",
        "webhooks__chat__sign_key_file": secret("sign.key", SIGN_KEY),
        "providers__hooks__webhook_secret_file": secret("webhook.secret", SECRET),
    }
    server = peers.sidemint(name, "local", "webhooks", **(own | keys))
    server.hooks, server.ops = hooks, ops
    return server


def livekit(name, folder):
    keys = secret("webhook.keys", f"key_01: {SECRET}\n")
    server = subject(name, folder, providers__hooks__preset="livekit", webhooks__chat__events='["none"]')
    server.env["SIDEMINT_PROVIDERS__HOOKS__WEBHOOK_KEYS_FILE"] = keys
    del server.env["SIDEMINT_PROVIDERS__HOOKS__WEBHOOK_SECRET_FILE"]
    return server


def folder(base=DISK):
    """A folder for a queue, gone when the run is."""
    path = tempfile.mkdtemp(prefix="bench-queue-", dir=base)
    FOLDERS.append(path)
    return path


def post(server, events, connections=1, **plan):
    """The generator's report on `server`, and the CPU time of the server for each event."""
    port = getattr(server, "hooks", server.port)
    plan = {"events": events, "connections": connections, "bytes": BYTES, "hooks": port} | plan
    env = os.environ | {key.upper(): str(value) for key, value in plan.items()}
    before = server.cpu_us()
    with on_cpu(LOAD_CPU):
        report = json.loads(subprocess.check_output([peers.RUST / "hookgen"], env=env))
    if report["failed"]:
        raise SystemExit(f"{server.name}: {report['failed']} of {events} events were not answered as they should be")
    return report | {"cpu_us": (server.cpu_us() - before) / events}


def floor(name, **env):
    return Server(name, [peers.RUST / name], env)


def append(base, syncs, size):
    """Seconds that the disk takes for as many bytes in as many syncs."""
    env = os.environ | {"FILE": str(Path(base, "append.bin")), "SYNCS": str(syncs), "BYTES": str(size)}
    return json.loads(subprocess.check_output([peers.RUST / "floor_append"], env=env))


def sample(server, name):
    """A figure of /metrics."""
    text = Connection(server.ops).get(0, "/metrics")[1].decode()
    return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:{{[^}}]*}})? ([\d.e+-]+)$", text))


def written(server):
    """Bytes that it wrote to files."""
    return int(re.search(r"write_bytes: (\d+)", Path(f"/proc/{server.process.pid}/io").read_text())[1])


def proofs():
    """Proven and not kept: the webhook wants other events."""
    subjects = {
        "1k": (subject("proof", folder(MEMORY), webhooks__chat__events='["none"]'), "sendsar", 1024),
        "64k": (subject("proof, 64 KiB", folder(MEMORY), webhooks__chat__events='["none"]'), "sendsar", 65536),
        "jwt": (livekit("proof, JWT", folder(MEMORY)), "livekit", 1024),
    }
    measured = {}
    for row, (ours, kind, size) in subjects.items():
        events = quick(200, 30_000 if size < 10_000 else 6_000)
        with ours, floor("floor_hooks", KIND=kind) as bare:
            cost = lambda server: post(server, events, 32, kind=kind, bytes=size)["cpu_us"]
            measured[f"webhook/{row}"] = [cost(bare) / cost(ours) for _ in range(quick(1, 5))]
    return measured


def accept():
    """Kept on a disk before the answer, with nobody to deliver to."""
    measured = {"webhook/accept": [], "webhook/accept-64": [], "webhook/accept-p99": []}
    with subject("accept", folder()) as ours:
        for connections, row in ((1, "webhook/accept"), (64, "webhook/accept-64")):
            for number in range(quick(1, 3)):
                events = quick(50, 600 * connections if connections == 1 else 20_000)
                syncs, size = sample(ours, "sidemint_webhook_commit_seconds_count"), written(ours)
                report = post(ours, events, connections, first=(number + 1) * 10**7 * connections)
                syncs, size = sample(ours, "sidemint_webhook_commit_seconds_count") - syncs, written(ours) - size
                least = append(DISK, int(syncs), size)
                measured[row].append(least["seconds"] / report["seconds"])
                if connections == 64:
                    measured["webhook/accept-p99"].append(report["p99"] / least["p99"])
    return measured


def express(mode, **env):
    """A receiver as applications write it."""
    command = ["node", peers.PEERS / "node/hooks.mjs"]
    return Server(f"express, {mode}", command, {"MODE": mode, "NODE_ENV": "production"} | env, needs=(peers.PEERS / "node/node_modules",))


def beside_express():
    """In memory, so that the programs are compared and not the disk."""
    others = {"webhook/express-kept": express("keep", FILE=Path(folder(MEMORY), "events.db")), "webhook/express": express("answer")}
    measured = {}
    for row, other in others.items():
        if present([other]):
            with subject("accept, in memory", folder(MEMORY)) as ours, other:
                plans = [{"events": quick(200, 10_000), "connections": 64, "first": number * 10**7} for number in range(quick(1, 3))]
                measured[row] = [post(other, **plan)["cpu_us"] / post(ours, **plan)["cpu_us"] for plan in plans]
    return measured


def stats(app):
    return json.loads(Connection(app.port).get(0, "/stats")[1])


def application(port=None):
    """Takes every event at once."""
    return Server("application", [peers.RUST / "null_app"], path="/stats", cpu=LOAD_CPU, port=port)


def lag():
    """From the provider's post to the application, one event at a time."""
    extra = []
    for _ in range(quick(1, 3)):
        with application() as app, subject("delivery", folder(), app.port) as ours:
            post(ours, quick(20, 300), rate=50)
            until(app, quick(20, 300))
            extra.append(stats(app)["lag"] - append(DISK, quick(20, 300), quick(20, 300) * 8192)["p50"])
    return {"webhook/lag": extra}


def until(app, events, seconds=300):
    for _ in range(seconds * 20):
        if stats(app)["count"] >= events:
            return
        threading.Event().wait(0.05)
    raise SystemExit(f"the application has {stats(app)['count']} of {events} events")


def backlog():
    """The subject, and the port of its application, which is down."""
    port = next(PORTS)
    return subject("backlog", folder(MEMORY), port), port


def drain():
    """All that waits, to an application that comes up: beside a bare client that posts as much."""
    events = quick(200, 100_000)
    with application() as app:
        env = os.environ | {"EVENTS": str(events), "APP": f"http://127.0.0.1:{app.port}/", "BYTES": str(BYTES)}
        least = json.loads(subprocess.check_output([peers.RUST / "floor_deliver"], env=env))["seconds"]
    ours, port = backlog()
    with ours:
        post(ours, events, 64)
        with application(port) as app:
            until(app, 1)
            begin = stats(app)
            until(app, events)
            end = stats(app)
    return {"webhook/drain": [least / events * (end["count"] - begin["count"]) / max(end["last"] - begin["last"], 1e-6)]}


def beside_sessions():
    """A session while a backlog drains."""
    ours, port = backlog()
    with ours:
        post(ours, quick(200, 100_000), 64)
        alone = peers.open_loop(ours, **SESSIONS)
        with application(port):
            meanwhile = peers.open_loop(ours, **SESSIONS)
    return {"webhook/session-drain": [meanwhile["p99"] / alone["p99"]]}


def forged():
    """A session while forged events come as fast as they can be sent."""
    ratios = []
    with subject("forged", folder()) as ours:
        for _ in range(quick(1, 3)):
            alone = peers.open_loop(ours, **SESSIONS)
            size = written(ours)
            flood = threading.Thread(target=post, args=(ours, quick(500, 20_000), 8), kwargs={"forged": 1, "rate": quick(0, 3000)})
            flood.start()
            meanwhile = peers.open_loop(ours, **SESSIONS)
            flood.join()
            if written(ours) - size > 65536:
                raise SystemExit("forged events were written to the disk")
            ratios.append(meanwhile["p99"] / alone["p99"])
    return {"webhook/session-forged": ratios}


def memory():
    """What an empty store takes."""
    with peers.sidemint("without", "local") as without, subject("with", folder()) as ours:
        return {"webhook/memory": [(ours.memory() - without.memory()) / 1e6]}


def webhook():
    measured = {}
    try:
        for part in (proofs, accept, beside_express, lag, drain, beside_sessions, forged, memory):
            measured |= part()
    finally:
        while FOLDERS:
            shutil.rmtree(FOLDERS.pop(), ignore_errors=True)
    return measured

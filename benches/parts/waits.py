"""The parts of the table about how long requests wait: tails, a crowd, a herd, a provider that is away."""
import contextlib
import json
import sys
import threading

import peers
from harness import Connection, note, present, quick, wrk
from peers import BOTH
from report.figure import Figure

# A p99 is compared where that of the floor stays within this share of its median, over the rounds.
STEADY = 0.10


def ratios(name, ours, floor):
    """Of a quantile, round by round. Where the floor's own did not hold still, the machine was measured and not the subject."""
    pairs = list(zip([report[name] for report in ours], [report[name] for report in floor]))
    own = sorted(floor for _, floor in pairs)
    moved = (own[-1] - own[0]) / own[len(own) // 2]
    note(f"  {name}: " + ", ".join(f"{us:.3f} beside {floor:.3f} ms" for us, floor in pairs))
    return Figure([us / floor for us, floor in pairs], unsteady=f"the floor's moved by {moved:.0%}" if moved > STEADY else "")


def with_slow_provider(server, **plan):
    """The report on `server` with a slow provider of its own, and that provider's counts."""
    with peers.provider(delay_ms=20) as provider, server:
        report = peers.open_loop(server, **plan)
        stats = json.loads(Connection(provider.port).get(1, "/stats")[1])
    return report | stats


def tail():
    """Users whose sessions end all the time, in turn with users whose sessions last."""
    plan = {"rate": 2000, "secs": quick(2, 12), "connections": 200, "users": 500, "skip": quick(1, 4)}
    hits, ours = [], []
    for _ in range(quick(1, 3)):
        hits.append(with_slow_provider(peers.sidemint("hits", "remote", "life-1h"), **plan))
        short = peers.sidemint("sidemint", "remote", "life-3s", providers__chat__client_margin="0s")
        ours.append(with_slow_provider(short, **plan))
    usual = with_slow_provider(peers.rust("refresh_on_request", TTL=3), **plan)
    return {
        "tail/p99": ratios("p99", ours, hits),
        "tail/p999": ratios("p999", ours, hits),
        "tail/waited": [100 * report["slow"] / report["answers"] for report in ours],
        "tail/mints": [report["minted"] / usual["minted"] for report in ours],
    }


def guard():
    """What a question to sidemint adds to a request through nginx, at a rate that leaves nginx idle half of the time."""
    if not present([peers.nginx_guard(0)]):
        return {}
    plan = {"rate": 2000, "secs": quick(2, 5), "connections": 50, "users": 500, "skip": 1}
    itself, asked = [], []
    with peers.sidemint("sidemint", *BOTH, path="/auth") as ours, peers.nginx_guard(ours.port) as nginx:
        for _ in range(quick(1, 7)):
            itself.append(peers.open_loop(nginx, target="/by-itself", **plan))
            asked.append(peers.open_loop(nginx, target="/by-sidemint", **plan))
            if itself[-1]["failed"] or asked[-1]["failed"]:
                sys.exit("nginx refused somebody")
    return {"guard/median": ratios("p50", asked, itself), "guard/p99": ratios("p99", asked, itself)}


def crowd():
    """What a session costs that is minted while a thousand users wait for a slow provider, beside one where 32 do."""
    few, many = 32, quick(200, 1000)
    # Eight times as many may wait: all of one round, and those whom the round before left behind.
    calls = quick(64, 256)
    subjects = {
        "sidemint": lambda: peers.sidemint("sidemint", *peers.COLD, providers__chat__upsert_memory="0s", providers__chat__calls_at_once=calls),
        "relay": lambda: peers.rust("floor_relay"),
    }
    measured = {name: [] for name in subjects}
    with peers.provider(delay_ms=20):
        for _ in range(quick(1, 3)):
            for name, make in subjects.items():
                with make() as server:
                    costs = []
                    for connections in (few, many):
                        server.connections = connections
                        wrk(server, seconds=1, users=10_000)
                        costs.append(wrk(server, seconds=quick(1, 3), users=10_000).cpu_us)
                    note(f"  {name}: {costs[0]:.1f} and {costs[1]:.1f} us CPU a mint")
                    measured[name].append(costs[1] / costs[0])
    return {"crowd/mint": Figure(measured["sidemint"], measured["relay"])}


def herd():
    """The first mint opens the first life, so it is not counted as a renewal."""
    lives = quick(2, 16)
    server = peers.sidemint("sidemint", "remote", "life-1s", providers__chat__client_margin="0s")
    report = with_slow_provider(server, rate=4000, secs=lives, connections=200, users=1, skip=1)
    return {
        "herd/at_once": [report["at_once"]],
        "herd/per_life": [(report["minted"] - 1) / lives],
        "herd/slow": [report["slow"]],
    }


@contextlib.contextmanager
def provider_that_goes(down, back=None):
    """A provider that is killed `down` seconds from now, and started again `back` seconds from now."""
    with contextlib.ExitStack() as second, peers.provider() as first:
        timers = [threading.Timer(down, first.process.kill)]
        if back:
            timers.append(threading.Timer(back, lambda: second.enter_context(peers.provider())))
        for timer in timers:
            timer.start()
        yield


def outage():
    """Lives are long beside the breaker's pauses (one second, doubling), as they are in production."""
    margin = 4
    server = peers.sidemint("sidemint", "remote", "life-40s", providers__chat__client_margin=f"{margin}s")
    with provider_that_goes(down=quick(0.5, 2), back=quick(0.7, 29)), server:
        report = peers.open_loop(server, rate=500, secs=quick(1, 42), connections=50, users=100)
    return {"outage/failed": [report["failed"]]} | least_life()


def least_life():
    margin = 2
    server = peers.sidemint("sidemint", "remote", "life-5s", providers__chat__client_margin=f"{margin}s")
    with provider_that_goes(down=quick(0.5, 1)), server:
        report = peers.open_loop(server, rate=1000, secs=quick(1, 6), connections=50, users=100)
    return {"outage/least_life": [report["least_life_ms"] / (margin * 1000)]}

"""The parts of the table: each function measures some rows of limits.toml and returns their figures by row id."""
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import gateway
import instructions
import peers
import webhooks
from harness import SCRATCH, SERVER_CPU, Connection, interleave, note, on_cpu, present, quick, wrk

# Set over a configuration of subject/, these make it mint for every request.
UNCACHED = ("uncached",)
MINT = ("local", "claims", *UNCACHED)
# The session route and the subrequest route. Tokens of the rows that mint are too long for a header, so they have the first alone.
BOTH = ("local", "subrequest")
COLD = ("remote", "life-1h", *UNCACHED)

# What a mint signs in the configuration above: iss, sub, aud, iat, exp, name, and six grants.
CLAIMS = 12
# So many more that their price stands out of a request's.
EXTRA_CLAIMS = 200


def speed(rounds, ours, theirs):
    """How many of our requests one of theirs pays for, round by round; nothing where either could not run."""
    pairs = zip(rounds.get(ours, []), rounds.get(theirs, []))
    return [them.cpu_us / us.cpu_us for us, them in pairs]


def warm():
    with peers.provider():
        rounds = interleave([
            peers.rust("floor_warp"),
            peers.sidemint("sidemint", *BOTH),
            peers.sidemint("sidemint, log", *BOTH, log__requests="all"),
            peers.sidemint("sidemint, subrequest", *BOTH, path="/auth"),
            peers.nginx(),
            peers.envoy(),
            peers.go("cached"),
            peers.node("node:http", "map.mjs"),
            peers.node("express", "express.mjs", "cached"),
        ])
    return {
        "warm/warp": speed(rounds, "sidemint", "floor_warp"),
        "warm/log": speed(rounds, "sidemint, log", "floor_warp"),
        "warm/subrequest": speed(rounds, "sidemint, subrequest", "sidemint"),
        "warm/nginx": speed(rounds, "sidemint", "nginx"),
        "warm/envoy": speed(rounds, "sidemint", "envoy"),
        "warm/go": speed(rounds, "sidemint", "go"),
        "warm/node": speed(rounds, "sidemint", "node:http"),
        "warm/express": speed(rounds, "sidemint", "express"),
    }


def count_instructions():
    measured = {}
    for row, counts in instructions.measure().items():
        ours, theirs = counts.values()
        measured[row] = [ours / theirs]
    return measured


def mint():
    """Against the limit, bare warp's time and one raw signature's, taken in the same round, stand for the peer."""
    raw = []

    def sign():
        with on_cpu(SERVER_CPU):
            raw.append(json.loads(subprocess.check_output([peers.RUST / "sign"])))

    # Keys are made at start, but for HS256: a secret that nobody else knows would sign for nobody.
    algorithms = {"EdDSA": {}, "HS256": {"SIDEMINT_SIGNING_KEY": "0123456789abcdef0123456789abcdef"}, "RS256": {}}
    rounds = interleave([
        peers.rust("floor_warp"),
        *(peers.sidemint(alg, *MINT, providers__chat__alg=alg, env=key) for alg, key in algorithms.items()),
        peers.go("eddsa"),
        peers.node("jose", "express.mjs", "jose"),
        peers.node("livekit", "express.mjs", "livekit"),
    ], each_round=sign)

    def of_limit(alg):
        return [
            (floor.cpu_us + signature[alg]) / ours.cpu_us
            for floor, signature, ours in zip(rounds["floor_warp"], raw, rounds[alg])
        ]

    return {f"mint/{alg}": of_limit(alg) for alg in algorithms} | {
        "mint/livekit": speed(rounds, "HS256", "livekit"),
        "mint/jose": speed(rounds, "EdDSA", "jose"),
        "mint/go": speed(rounds, "EdDSA", "go"),
    }


def verify():
    """Against the limit, our own warm session's time and one raw verification's. What sidemint remembers of tokens holds
    a quarter of these at most, so nearly each is verified; the last row shows what remembering is worth."""
    env = os.environ | {"FOLDER": SCRATCH.name, "COUNT": str(quick(2000, 32000))}
    with on_cpu(SERVER_CPU):
        raw = json.loads(subprocess.check_output([peers.RUST / "assertions"], env=env))

    def subject(name, alg, tokens):
        keys = {"identity__sources__issuer__jwt__algorithms": f'["{alg}"]'}
        keys["identity__sources__issuer__keys__file"] = f"{SCRATCH.name}/jwks.json"
        server = peers.sidemint(name, "local", "assertions", **keys)
        server.tokens = Path(SCRATCH.name, tokens)
        return server

    few = Path(SCRATCH.name, "few.txt")
    few.write_text("\n".join(Path(SCRATCH.name, "EdDSA.txt").read_text().split("\n")[:1000]))
    rounds = interleave([
        peers.sidemint("sidemint", "local"),
        *(subject(alg, alg, f"{alg}.txt") for alg in raw),
        subject("remembered", "EdDSA", few.name),
    ])
    limits = {
        f"verify/{alg}": [(warm.cpu_us + cost) / ours.cpu_us for warm, ours in zip(rounds["sidemint"], rounds[alg])]
        for alg, cost in raw.items()
    }
    return limits | {"verify/remembered": speed(rounds, "remembered", "sidemint")}


def claims():
    """A claim costs tens of nanoseconds, a mint many microseconds, so the difference is measured where it is large:
    with 200 claims more, made from data here and by compiled code in the floor. What those cost more here than there,
    scaled down to the claims of an ordinary token, is what data-driven claims add to an ordinary mint."""
    values = ("{{ user.id }}", "{{ user.name }}")
    extra = ", ".join(f'claim_{i:03} = "{values[i % 2]}"' for i in range(EXTRA_CLAIMS))
    rounds = interleave([
        peers.sidemint("data", *MINT),
        peers.sidemint("data, more", *MINT, providers__chat__claims=f"{{ {extra} }}"),
        peers.rust("floor_mint"),
        peers.rust("floor_mint", name="floor_mint, more", EXTRA_CLAIMS=EXTRA_CLAIMS),
    ])
    ratios = []
    for data, data_more, floor, floor_more in zip(*rounds.values()):
        dearer = (data_more.cpu_us - data.cpu_us) - (floor_more.cpu_us - floor.cpu_us)
        ratios.append(data.cpu_us / (data.cpu_us - dearer * CLAIMS / EXTRA_CLAIMS))
    return {"claims/compiled": ratios}


def cold():
    with peers.provider():
        rounds = interleave([
            peers.rust("floor_relay"),
            peers.sidemint("sidemint", *COLD, providers__chat__upsert_memory="0s"),
            peers.go("docs"),
            peers.node("express", "express.mjs", "docs"),
            peers.fastapi("fastapi", "docs"),
            peers.fastapi("fastapi, one client", "shared"),
        ])
    return {
        "cold/relay": speed(rounds, "sidemint", "floor_relay"),
        "cold/express": speed(rounds, "sidemint", "express"),
        "cold/fastapi": speed(rounds, "sidemint", "fastapi"),
        "cold/fastapi-shared": speed(rounds, "sidemint", "fastapi, one client"),
        "cold/go": speed(rounds, "sidemint", "go"),
    }


def slow():
    servers = [
        peers.rust("floor_relay"),
        peers.sidemint("sidemint", *COLD, providers__chat__upsert_memory="0s"),
        peers.node("express", "express.mjs", "docs"),
    ]
    for server in servers:
        server.connections = 128
    with peers.provider(delay_ms=20):
        rounds = interleave(servers)
    pairs = zip(rounds["sidemint"], rounds["floor_relay"])
    return {
        "slow/median": [ours.median_ms / theirs.median_ms for ours, theirs in pairs],
        "slow/express": speed(rounds, "sidemint", "express"),
    }


def open_loop_alone(server, **plan):
    """The report on `server` with a slow provider of its own, and that provider's counts."""
    with peers.provider(delay_ms=20) as provider, server:
        report = peers.open_loop(server, **plan)
        stats = json.loads(Connection(provider.port).get(1, "/stats")[1])
    return report | stats


def tail():
    plan = {"rate": 2000, "secs": quick(2, 16), "connections": 200, "users": 500, "skip": quick(1, 4)}
    measured = {row: [] for row in ("tail/p99", "tail/p999", "tail/waited", "tail/mints")}
    for _ in range(quick(1, 2)):
        hits = open_loop_alone(peers.sidemint("hits", "remote", "life-1h"), **plan)
        usual = open_loop_alone(peers.rust("refresh_on_request", TTL=3), **plan)
        ours = open_loop_alone(peers.sidemint("sidemint", "remote", "life-3s", providers__chat__client_margin="0s"), **plan)
        measured["tail/p99"].append(ours["p99"] / hits["p99"])
        measured["tail/p999"].append(ours["p999"] / hits["p999"])
        measured["tail/waited"].append(100 * ours["slow"] / ours["answers"])
        measured["tail/mints"].append(ours["minted"] / usual["minted"])
    return measured


def guard():
    """What a question to sidemint adds to a request through nginx, at a rate that leaves nginx idle half of the time."""
    if present([peers.nginx_guard(0)]) == []:
        return {}
    plan = {"rate": 2000, "secs": quick(2, 5), "connections": 50, "users": 500, "skip": 1}
    measured = {"guard/median": [], "guard/p99": []}
    with peers.sidemint("sidemint", *BOTH, path="/auth") as ours, peers.nginx_guard(ours.port) as nginx:
        for _ in range(quick(1, 7)):
            itself = peers.open_loop(nginx, target="/by-itself", **plan)
            asked = peers.open_loop(nginx, target="/by-sidemint", **plan)
            if itself["failed"] or asked["failed"]:
                sys.exit("nginx refused somebody")
            note(f"  p99 {itself['p99']:.3f} ms by itself, {asked['p99']:.3f} ms with sidemint; p50 {itself['p50']:.3f} and {asked['p50']:.3f}")
            measured["guard/median"].append(asked["p50"] / itself["p50"])
            measured["guard/p99"].append(asked["p99"] / itself["p99"])
    return measured


def herd():
    """The first mint opens the first life, so it is not counted as a renewal."""
    lives = quick(2, 16)
    server = peers.sidemint("sidemint", "remote", "life-1s", providers__chat__client_margin="0s")
    report = open_loop_alone(server, rate=4000, secs=lives, connections=200, users=1, skip=1)
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
    few, many = quick(100, 1000), quick(2000, 100_000)
    with peers.sidemint("sidemint", "start", env=rsa_key()) as idle:
        idle_bytes = idle.memory()
    with peers.sidemint("sidemint", "local", cache__max_entries=200_000, cache__max_bytes=2**30) as filling:
        every(filling, few)
        before = filling.memory()
        every(filling, many)
        a_user = (filling.memory() - before) / (many - few) - len(filling.body)
    with peers.sidemint("sidemint", "local", cache__max_entries=many // 5) as churning:
        every(churning, many // 5)
        once = churning.memory()
        every(churning, many)
        churn = churning.memory() / once
    return {"memory/idle": [idle_bytes / 1e6], "memory/user": [a_user], "memory/churn": [churn]}


def start():
    key = rsa_key()
    ratios = []
    for _ in range(quick(1, 15)):
        with peers.rust("floor_hyper") as floor, peers.sidemint("sidemint", "start", env=key) as ours:
            ratios.append(ours.ready_ms / floor.ready_ms)
    return {"start/hyper": ratios}


def size():
    return {"size/binary": [Path(peers.SIDEMINT).stat().st_size / 1e6]}


PARTS = {
    "warm": warm,
    "instructions": count_instructions,
    "mint": mint,
    "verify": verify,
    "claims": claims,
    "cold": cold,
    "slow": slow,
    "tail": tail,
    "guard": guard,
    "herd": herd,
    "outage": outage,
    "webhook": webhooks.webhook,
    "gateway": gateway.gateway,
    "memory": memory,
    "start": start,
    "size": size,
}

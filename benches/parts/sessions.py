"""The parts of the table about sessions: from the cache, minted here, and asked for at the provider."""
import json
import os
import subprocess
from pathlib import Path

import instructions
import peers
from harness import SCRATCH, SERVER_CPU, interleave, on_cpu, quick, speed
from peers import BOTH, COLD

# Each request mints, by a key of its own.
MINT = ("local", "claims", "uncached")

# What a mint signs in the configuration above: iss, sub, aud, iat, exp, name, and six grants.
CLAIMS = 12
# So many more that their price stands out of a request's.
EXTRA_CLAIMS = 200


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
            peers.node("Express", "express.mjs", "cached"),
        ])
    return {
        "warm/warp": speed(rounds, "sidemint", "floor_warp"),
        "warm/log": speed(rounds, "sidemint, log", "floor_warp"),
        "warm/subrequest": speed(rounds, "sidemint, subrequest", "sidemint"),
        "warm/nginx": speed(rounds, "sidemint", "nginx", "floor_warp"),
        "warm/envoy": speed(rounds, "sidemint", "Envoy", "floor_warp"),
        "warm/go": speed(rounds, "sidemint", "Go", "floor_warp"),
        "warm/node": speed(rounds, "sidemint", "node:http", "floor_warp"),
        "warm/express": speed(rounds, "sidemint", "Express", "floor_warp"),
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
        peers.node("LiveKit's SDK", "express.mjs", "livekit"),
    ], each_round=sign)

    def of_limit(alg):
        return [
            (floor.cpu_us + signature[alg]) / ours.cpu_us
            for floor, signature, ours in zip(rounds["floor_warp"], raw, rounds[alg])
        ]

    return {f"mint/{alg}": of_limit(alg) for alg in algorithms} | {
        "mint/livekit": speed(rounds, "HS256", "LiveKit's SDK"),
        "mint/jose": speed(rounds, "EdDSA", "jose"),
        "mint/go": speed(rounds, "EdDSA", "Go"),
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
            peers.node("Express", "express.mjs", "docs"),
            peers.fastapi("FastAPI", "docs"),
            peers.fastapi("FastAPI, one client", "shared"),
        ])
    return {
        "cold/relay": speed(rounds, "sidemint", "floor_relay"),
        "cold/express": speed(rounds, "sidemint", "Express", "floor_relay"),
        "cold/fastapi": speed(rounds, "sidemint", "FastAPI", "floor_relay"),
        "cold/fastapi-shared": speed(rounds, "sidemint", "FastAPI, one client", "floor_relay"),
        "cold/go": speed(rounds, "sidemint", "Go", "floor_relay"),
    }


def slow():
    servers = [
        peers.rust("floor_relay"),
        peers.sidemint("sidemint", *COLD, providers__chat__upsert_memory="0s"),
        peers.node("Express", "express.mjs", "docs"),
    ]
    for server in servers:
        server.connections = 128
    with peers.provider(delay_ms=20):
        rounds = interleave(servers)
    pairs = zip(rounds["sidemint"], rounds["floor_relay"])
    return {
        "slow/median": [ours.median_ms / theirs.median_ms for ours, theirs in pairs],
        "slow/express": speed(rounds, "sidemint", "Express", "floor_relay"),
    }

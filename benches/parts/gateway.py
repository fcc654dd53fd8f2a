"""The part of the table about the gateway: calls through it, beside what other proxies take that set a header."""
import os
import socket
import subprocess
import threading
from pathlib import Path

import peers
from harness import HERE, LOAD_CPU, PORTS, PRIVATE, SCRATCH, Server, interleave, on_cpu, quick, speed, wrk

SECRET = "sk_live_0123456789abcdef0123456789abcdef"
KEY = "bench0123456789abcdef0123456789abcdef012345"
PORT = 9002
DEFINITIONS = ["--definitions", HERE / "subject/definitions"]
HOST = "Host: 127.0.0.1\r\n"
LARGE = quick(1, 10) * 2**20
TYPE = "Content-Type: application/json\r\n"
BODY = '{"room":"shop-1","name":"Room of a shop","members":[{"id":"alice"},{"id":"bob"}],"deep":{"a":1,"b":[1,2,3]}}'
SIGNED = '{"name":"greeting","channels":["shop-1"],"data":"{\\"text\\":\\"hello\\"}"}'


def provider(size=1024):
    """The provider, on the load's core."""
    return Server("api", [peers.RUST / "api"], {"BYTES": size}, path="/rooms/shop-1", cpu=LOAD_CPU, port=PORT)


def get(path, *lines):
    return f"GET {path} HTTP/1.1\r\n{HOST}{''.join(lines)}\r\n"


def post(path, body, *lines):
    return f"POST {path} HTTP/1.1\r\n{HOST}{TYPE}{''.join(lines)}Content-Length: {len(body)}\r\n\r\n{body}"


def written(name, text):
    path = Path(SCRATCH.name, name)
    path.write_text(text)
    return path


def subject(name, *configurations, raw="", **keys):
    """The subject; requests come to its gateway."""
    server = peers.sidemint(name, *configurations, **({"gateway__listen": "127.0.0.1:__PORT__"} | keys))
    server.command += DEFINITIONS
    server.env |= {
        "SIDEMINT_SERVER__LISTEN": f"127.0.0.1:{next(PORTS)}",
        "SIDEMINT_PROVIDERS__CALLS__API_KEY_FILE": written("provider.key", SECRET),
    }
    server.raw = raw
    return server


def by_key(name, raw):
    key = written("gateway.key", KEY)
    return subject(name, "gateway", raw=raw, gateway__callers__shop__key_files=f'["{key}"]', log__requests="all")


def by_kind(name, raw):
    server = subject(name, "gateway-kinds", raw=raw)
    key = written("provider.key", SECRET)
    server.env |= {"SIDEMINT_PROVIDERS__JWT__API_KEY_FILE": key, "SIDEMINT_PROVIDERS__SIGNED__APP_SECRET_FILE": key}
    return server


def floor(raw):
    server = peers.rust("floor_gateway", PROVIDER=f"127.0.0.1:{PORT}")
    server.raw = raw
    return server


def nginx(raw):
    command = ["nginx", "-c", "__CONFIG__"]
    return Server("nginx", command, template=peers.PEERS / "nginx-gateway.conf", values={"PROVIDER": PORT}, raw=raw)


def envoy(raw):
    program = os.environ.get("ENVOY", peers.TOOLS / "venv/bin/envoy")
    options = ["--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    template = peers.PEERS / "envoy-gateway.yaml"
    return Server("Envoy", [program, "-c", "__CONFIG__", *options], template=template, values={"PROVIDER": PORT}, raw=raw)


def proxies():
    plain, ours = get("/rooms/shop-1"), get("/gateway/calls/rooms/shop-1", f"X-API-Key: {KEY}\r\n")
    with provider():
        rounds = interleave([by_key("sidemint", ours), floor(plain), nginx(plain), envoy(plain)])
    return {
        "gateway/relay": speed(rounds, "sidemint", "floor_gateway"),
        "gateway/nginx": speed(rounds, "sidemint", "nginx", "floor_gateway"),
        "gateway/envoy": speed(rounds, "sidemint", "Envoy", "floor_gateway"),
    }


def rules():
    calls = "/gateway/calls/rooms/shop-1"
    with provider():
        rounds = interleave([
            by_kind("read", get(calls)),
            by_kind("a JWT", get("/gateway/jwt/rooms/shop-1")),
            by_kind("a body", post(f"{calls}/plain", BODY)),
            by_kind("rules", post("/gateway/calls/rooms", BODY)),
            by_kind("a body for Pusher", post(f"{calls}/plain", SIGNED)),
            by_kind("a signature", post("/gateway/signed/apps/4242/events", SIGNED)),
        ])
    return {
        "gateway/json": speed(rounds, "rules", "a body"),
        "gateway/jwt": speed(rounds, "a JWT", "read"),
        "gateway/pusher": speed(rounds, "a signature", "a body for Pusher"),
    }


def large():
    """Answers that are looked through for what the call carried."""
    plain, ours = get("/rooms/shop-1"), get("/gateway/calls/rooms/shop-1", f"X-API-Key: {KEY}\r\n")
    with provider(LARGE):
        servers = [by_key("sidemint, large", ours), floor(plain)]
        for server in servers:
            server.connections = 4
        rounds = interleave(servers)
        kib = []
        for _ in range(quick(1, 3)):
            # In a new process: what one round gave back, the next would take without a trace.
            with by_key("sidemint, slow readers", ours) as slow:
                kib.append(held(slow))
    return {"gateway/scrubbed": speed(rounds, "sidemint, large", "floor_gateway"), "gateway/memory": kib}


def held(server, calls=32):
    """KiB that a call holds whose answer is not read."""
    before = server.memory(PRIVATE)
    readers = []
    for _ in range(calls):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", server.port))
        reader.sendall(server.raw.encode())
        reader.recv(1024)
        readers.append(reader)
    threading.Event().wait(quick(0.2, 1))
    kib = (server.memory(PRIVATE) - before) / calls / 1024
    for reader in readers:
        reader.close()
    return kib


def flood(port, seconds):
    """A caller that asks for ten times what it may, so that nine of ten calls are refused."""
    plan = {"RATE": 1000, "SECS": seconds, "CONNECTIONS": 20, "USERS": 1, "TARGET": "/gateway/calls/rooms/shop-1", "PORT": port}
    env = os.environ | {name: str(value) for name, value in plan.items()}
    with on_cpu(LOAD_CPU):
        return subprocess.Popen([peers.RUST / "loadgen"], env=env, stdout=subprocess.DEVNULL)


def beside_sessions():
    """Warm sessions while a caller is at its limits."""
    ratios, port, seconds = [], next(PORTS), quick(1, 3)
    ours = peers.sidemint("limits", "local", "gateway-limits", gateway__listen=f"127.0.0.1:{port}")
    ours.command += DEFINITIONS
    ours.env["SIDEMINT_PROVIDERS__CALLS__API_KEY_FILE"] = written("provider.key", SECRET)
    with provider(), ours:
        wrk(ours, seconds=1)
        for _ in range(quick(1, 5)):
            alone = wrk(ours, seconds=seconds)
            with flood(port, seconds + 1) as flooding:
                meanwhile = wrk(ours, seconds=seconds)
                flooding.wait()
            ratios.append(meanwhile.requests / alone.requests)
    return {"gateway/session": ratios}


def gateway():
    measured = {}
    for own in (proxies, rules, large, beside_sessions):
        measured |= own()
    return measured

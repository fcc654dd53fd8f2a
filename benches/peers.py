"""Everything that is measured: the subject in each of its configurations, and what it is compared with."""
import json
import os
import subprocess

from harness import HERE, LOAD_CPU, SESSION, Server, on_cpu

PEERS = HERE / "peers"
TOOLS = HERE.parent / ".tools"
RUST = PEERS / "rust/target/release"
SIDEMINT = os.environ.get("SIDEMINT", HERE.parent / "target/release/sidemint")

# The subject's configurations name this port, so the stub provider is always there.
PROVIDER_PORT = 9001
API = f"http://127.0.0.1:{PROVIDER_PORT}/v1"
# The session route and the subrequest route. Tokens of the rows that mint are too long for a header, so they have the first alone.
BOTH = ("local", "subrequest")
# Each request mints, by calls to the provider.
COLD = ("remote", "life-1h", "uncached")


def sidemint(name, *configurations, path=SESSION, env=None, **keys):
    """The subject under files of subject/, later ones over earlier; `keys` are further ones, as `section__key`."""
    files = [HERE / f"subject/{configuration}.toml" for configuration in ("common", *configurations)]
    command = [SIDEMINT, "serve", *(word for file in files for word in ("--config", file))]
    layer = {f"SIDEMINT_{key.upper()}": value for key, value in keys.items()}
    listen = {"SIDEMINT_SERVER__LISTEN": "127.0.0.1:__PORT__", "SIDEMINT_OPS__LISTEN": "127.0.0.1:0"}
    return Server(name, command, {"SENDSAR_API_KEY": "sk_live_x"} | listen | layer | (env or {}), path=path)


def rust(program, name="", **env):
    """One of the small servers under peers/rust."""
    return Server(name or program, [RUST / program], env | {"API": API})


def provider(delay_ms=0):
    """The stub provider, on the load's core."""
    env = {"DELAY_MS": delay_ms}
    return Server("stub", [RUST / "stub"], env, path="/stats", cpu=LOAD_CPU, port=PROVIDER_PORT)


def nginx():
    return Server("nginx", ["nginx", "-c", "__CONFIG__"], template=PEERS / "nginx.conf")


def nginx_guard(sidemint_port):
    values = {"SIDEMINT": sidemint_port}
    return Server("nginx", ["nginx", "-c", "__CONFIG__"], template=PEERS / "nginx-guard.conf", path="/by-sidemint", values=values)


def envoy():
    program = os.environ.get("ENVOY", TOOLS / "venv/bin/envoy")
    options = ["--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return Server("Envoy", [program, "-c", "__CONFIG__", *options], template=PEERS / "envoy.yaml")


def go(mode):
    return Server("Go", [TOOLS / "bin/go-net-http"], {"MODE": mode, "API": API})


def node(name, script, mode=""):
    env = {"MODE": mode, "API": API, "NODE_ENV": "production"}
    return Server(name, ["node", PEERS / "node" / script], env, needs=(PEERS / "node/node_modules",))


def fastapi(name, mode):
    # A few connections keep its one worker busy; more would only leave requests unfinished at the end of a round.
    command = [PEERS / "python/venv/bin/uvicorn", "--app-dir", PEERS / "python", "fastapi_session:app"]
    options = ["--port", "__PORT__", "--log-level", "warning", "--no-access-log"]
    return Server(name, [*command, *options], {"MODE": mode, "API": API}, connections=4)


def open_loop(server, **plan):
    """The load generator's report on `server`, which runs already."""
    env = os.environ | {key.upper(): str(value) for key, value in plan.items()} | {"PORT": str(server.port)}
    with on_cpu(LOAD_CPU):
        return json.loads(subprocess.check_output([RUST / "loadgen"], env=env))

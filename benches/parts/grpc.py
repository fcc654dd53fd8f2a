"""The part of the table about checks over gRPC."""
import os
import subprocess

import peers
from harness import LOAD_CPU, PORTS, Server, note, on_cpu, quick
from peers import BOTH


def cost(server, port, checks):
    """CPU microseconds of the server for each check."""
    env = os.environ | {"CHECKS": str(checks), "PORT": str(port)}
    before = server.cpu_us()
    with on_cpu(LOAD_CPU):
        subprocess.run([peers.RUST / "checkgen"], env=env, check=True)
    return (server.cpu_us() - before) / checks


def grpc():
    """Warm checks, beside a service of tonic that always says yes."""
    checks, port, ratios = quick(200, 40_000), next(PORTS), []
    with peers.sidemint("sidemint", *BOTH, grpc__listen=f"127.0.0.1:{port}") as ours, Server("bare tonic", [peers.RUST / "floor_grpc"], asked=False) as floor:
        cost(ours, port, quick(200, 2000))
        for _ in range(quick(1, 5)):
            us, them = cost(ours, port, checks), cost(floor, floor.port, checks)
            note(f"  {us:.2f} us CPU a check, {them:.2f} of bare tonic")
            ratios.append(them / us)
    return {"grpc/tonic": ratios}

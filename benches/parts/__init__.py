"""The parts of the table: each function measures some rows of report/limits.toml and returns their figures by row id."""
from . import gateway, grpc, logins, resources, sessions, waits, webhooks

PARTS = {
    "warm": sessions.warm,
    "instructions": sessions.count_instructions,
    "mint": sessions.mint,
    "verify": sessions.verify,
    "claims": sessions.claims,
    "cold": sessions.cold,
    "slow": sessions.slow,
    "grpc": grpc.grpc,
    "login": logins.login,
    "tail": waits.tail,
    "guard": waits.guard,
    "crowd": waits.crowd,
    "herd": waits.herd,
    "outage": waits.outage,
    "webhook": webhooks.webhook,
    "gateway": gateway.gateway,
    "memory": resources.memory,
    "connections": resources.connections,
    "idle": resources.idle,
    "start": resources.start,
    "size": resources.size,
}

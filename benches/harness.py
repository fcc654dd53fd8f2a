"""Servers side by side, and what a request costs each of them.

Every subject stays up while wrk visits them in turn, the order reversed each round, and ratios are taken round by
round: that survives a machine whose speed drifts. The figure is CPU time per request, from the kernel's run-time
counters of the server's own threads, because other programs disturb it far less than requests per second.
"""
import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

from report.figure import Figure

HERE = Path(__file__).resolve().parent
ANSWER = (HERE / "peers/answer.json").read_text()
SCRATCH = tempfile.TemporaryDirectory(prefix="sidemint-bench-")
SESSION = "/api/chat/session"

# The server has one core to itself, the load another; a stub provider shares the load's.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]

# A quick run, which tells whether every part still runs: its figures are good for nothing else.
SMOKE = bool(os.environ.get("BENCH_SMOKE"))


def quick(short, full):
    """`short` in a quick run, and otherwise `full`."""
    return short if SMOKE else full


# Memory that no other process shares and no file backs; the rest of what is resident are pages of the binary, which the kernel may
# drop.
PRIVATE = "RssAnon"

ROUNDS, ROUND_SECONDS = quick(1, 5), quick(1, 2)
START_TIMEOUT = 60
PORTS = itertools.count(9100)


@contextlib.contextmanager
def on_cpu(cpu):
    """Children started here run on `cpu`: cheaper and more exact than a helper program in front of each."""
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CPUS)


def request(user, path=SESSION, token=None):
    """The bytes of one request: the same for every subject and every kind of run, but for those that want a token."""
    if token:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-User: user_{user:06}\r\n"
        f"X-Forwarded-Name: User Number {user}\r\nX-Forwarded-Email: user{user}@acme.example\r\n\r\n"
    ).encode()


class Connection:
    """One keep-alive connection, and no more HTTP than the subjects speak."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, user, path=SESSION, token=None):
        """Head and body of the answer; anything but a success ends the run."""
        return self.ask(request(user, path, token), path)

    def ask(self, raw, path):
        """The same for the bytes of any request."""
        self.socket.sendall(raw)
        head, end, body = self._receive().partition(b"\r\n\r\n")
        while not end:
            head, end, body = (head + self._receive()).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            sys.exit(f"{path}: {head.decode()}\n\n{body.decode()}")
        length = int((re.search(rb"content-length: (\d+)", head, re.I) or [0, 0])[1])
        while len(body) < length:
            body += self._receive()
        return head, body

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("closed in the middle of an answer")
        return data

    def close(self):
        self.socket.close()


@dataclass
class Server:
    """A program that listens on 127.0.0.1. `__PORT__` in its command, environment and template is filled in."""

    name: str
    command: list
    env: dict = field(default_factory=dict)
    path: str = SESSION
    template: Path | None = None
    # Further values for the template.
    values: dict = field(default_factory=dict)
    needs: tuple = ()
    cpu: int = SERVER_CPU
    connections: int = 32
    port: int | None = None
    # A file of signed tokens, one a line, which name the users instead of headers.
    tokens: Path | None = None
    # The bytes of every request, where users are not what matters.
    raw: str = ""
    # Whether it answers a GET of HTTP/1.
    asked: bool = True

    def missing(self):
        """What it takes to run it and is not here."""
        return [str(need) for need in (self.command[0], *self.needs) if not which(need) and not Path(need).exists()]

    def __enter__(self):
        self.port = self.port or next(PORTS)
        config = self._render_template()
        fill = lambda text: str(text).replace("__PORT__", str(self.port)).replace("__CONFIG__", config)
        env = os.environ | {"PORT": str(self.port)} | {key: fill(value) for key, value in self.env.items()}
        command = [fill(word) for word in self.command]
        self.errors = tempfile.TemporaryFile()
        begin = time.perf_counter()
        with on_cpu(self.cpu):
            self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=self.errors)
        try:
            self._await_first_answer(begin + START_TIMEOUT)
        except BaseException:
            self.__exit__()
            raise
        self.ready_ms = (time.perf_counter() - begin) * 1e3
        return self

    def _render_template(self):
        if not self.template:
            return ""
        text = self.template.read_text()
        for name, value in {"PORT": self.port, "SCRATCH": SCRATCH.name, "ANSWER": ANSWER, **self.values}.items():
            text = text.replace(f"__{name}__", str(value))
        config = Path(SCRATCH.name, f"{self.port}-{self.template.name}")
        config.write_text(text)
        return str(config)

    def _await_first_answer(self, deadline):
        token = self.tokens and self.tokens.open().readline().strip()
        while True:
            try:
                connection = Connection(self.port)
                if not self.asked:
                    return connection.close()
                raw = self.raw.encode() or request(0, self.path, token)
                self.head, self.body = connection.ask(raw, self.path)
                return connection.close()
            except OSError:
                if self.process.poll() is not None or time.perf_counter() > deadline:
                    self.errors.seek(0)
                    sys.exit(f"{self.name} did not come up\n{self.errors.read().decode()[-2000:]}")
                time.sleep(0.0002)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in self._family():
                os.kill(pid, 9)
            self.process.wait()

    def _family(self):
        """Its process and all below: nginx and uvicorn work in children."""
        family = [self.process.pid]
        for pid in family:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                family += map(int, task.read_text().split())
        return family

    def cpu_us(self):
        """CPU time of all its threads so far."""
        total = 0
        for pid in self._family():
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):  # a thread may end meanwhile
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e3

    def memory(self, kind="VmRSS"):
        """Bytes of all its processes: resident ones, or those of another kind that the kernel counts."""
        total = 0
        for pid in self._family():
            with contextlib.suppress(OSError):  # a child may end meanwhile
                total += int(re.search(rf"{kind}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024
        return total


@dataclass
class Load:
    """What one round of wrk found."""

    cpu_us: float
    median_ms: float
    requests: int


def wrk(server, seconds=ROUND_SECONDS, users=1000):
    """One closed-loop round over `users` users."""
    command = ["wrk", "-t1", f"-c{server.connections}", f"-d{seconds}s", "--timeout=30s", "--latency", "-s", HERE / "users.lua"]
    before = server.cpu_us()
    with on_cpu(LOAD_CPU):
        report = subprocess.run(
            [*command, f"http://127.0.0.1:{server.port}{server.path}"],
            env=os.environ | {"USERS": str(users), "TOKENS": str(server.tokens or ""), "RAW": server.raw}, capture_output=True, text=True, check=True,
        ).stdout
    spent = server.cpu_us() - before
    if "Non-2xx" in report or "Socket errors" in report:
        sys.exit(f"{server.name} failed under load:\n{report}")
    requests = int(re.search(r"(\d+) requests in", report)[1])
    number, unit = re.search(r"(?m)^\s+50%\s+([\d.]+)(us|ms|s)$", report).groups()
    median = float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    return Load(spent / max(requests, 1), median, requests)


def interleave(servers, each_round=None):
    """Rounds of every server that can run here, by name: those that cannot are named, loudly, and left out."""
    with contextlib.ExitStack() as up:
        return in_turn([up.enter_context(server) for server in present(servers)], each_round)


def in_turn(running, each_round=None):
    """Rounds of servers that run already, by name."""
    for server in running:
        wrk(server, seconds=1)
    rounds = {server.name: [] for server in running}
    for number in range(ROUNDS):
        if each_round:
            each_round()
        for server in running if number % 2 == 0 else reversed(running):
            rounds[server.name].append(wrk(server))
    for name, loads in rounds.items():
        costs = sorted(load.cpu_us for load in loads)
        note(f"  {name:34} {costs[len(costs) // 2]:9.2f} us CPU a request [{costs[0]:.2f}..{costs[-1]:.2f}]")
    return rounds


def speed(rounds, ours, theirs, floor=None):
    """How many of our requests one of theirs pays for, round by round, and how many of the floor's; nothing where either
    could not run."""
    def over(subject):
        return [them.cpu_us / us.cpu_us for us, them in zip(rounds.get(subject, []), rounds.get(theirs, []))]

    return Figure(over(ours), over(floor) if floor else [])


def present(servers):
    """The servers whose programs are installed."""
    for server in servers:
        if missing := server.missing():
            note(f"  NOT MEASURED: {server.name} needs {', '.join(missing)}")
    return [server for server in servers if not server.missing()]


def note(text):
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)

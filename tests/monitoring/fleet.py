"""Two processes of each job, a provider and an application that they talk to, and the traffic that goes through them."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

OLD_KEY, NEW_KEY = "sk_live_" + "0" * 48, "sk_live_" + "1" * 48
CALLER_KEY = base64.urlsafe_b64encode(b"0123456789abcdef0123456789abcdef").rstrip(b"=").decode()
HOOK_KEY = b"0123456789abcdef0123456789abcdef"
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What every job has.
PLAIN = """
[server]
listen = "127.0.0.1:{front}"
[ops]
listen = "127.0.0.1:{ops}"
[log]
requests = "all"
[identity]
source = "plain"
[identity.peers]
networks = ["127.0.0.0/8"]
[[routes]]
path = "/session"
answer = "session"
provider = "chat"
[providers.chat]
preset = "sendsar"
api_url = "{api}"
api_key_file = "{folder}/api-key"
rate = "60000/min"
"""
# Signed tokens with keys from a file, and a provider that signs here.
SIGNED = """
[identity.sources.plain]
namespace = ""
[identity.sources.login]
kind = "jwt"
namespace = "login"
[identity.sources.login.jwt]
header = "Authorization"
algorithms = ["ES256"]
issuer = "https://login.example.com"
audience = "chat"
[identity.sources.login.keys]
file = "{folder}/public.pem"
[[routes]]
path = "/signed"
answer = "session"
provider = "signed"
source = "login"
[providers.signed]
preset = "local"
alg = "ES256"
public_api_url = "https://chat.example.com"
key_file = "{folder}/private.pem"
"""
HOOKS = """
[webhook_server]
listen = "127.0.0.1:{hooks}"
[webhook_server.tls]
cert_file = "{folder}/tls.crt"
key_file = "{folder}/private.pem"
[queue]
dir = "{folder}/queue"
[webhooks.chat]
provider = "events"
to = "{app}"
sign_key_file = "{folder}/forward.key"
[webhooks.direct]
provider = "events"
to = "{app}"
mode = "through"
sign_key_file = "{folder}/forward.key"
[providers.events]
preset = "standard-webhooks"
webhook_secret_file = "{folder}/hook-key"
"""
CALLS = """
[gateway]
listen = "127.0.0.1:{gateway}"
[[gateway.mounts]]
provider = "chat"
[gateway.callers.shop]
key_files = ["{folder}/caller-key"]
[[gateway.callers.shop.grants]]
provider = "chat"
allow = ["room.list"]
"""
# A team that is served, and one whose file has a mistake.
TEAMS = """
[teams.shop]
hosts = ["shop.example"]
secrets = "{folder}/shop"
provider_hosts = ["127.0.0.1"]
[teams.news]
hosts = ["news.example"]
"""
TEAM = """
[identity]
source = "plain"
[identity.callers.proxy]
networks = ["127.0.0.0/8"]
[[routes]]
path = "/session"
answer = "session"
provider = "chat"
[providers.chat]
preset = "sendsar"
api_url = "{api}"
api_key_file = "api-key"
"""
# What the kubelet would tell of a container.
CONTAINER = """# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{namespace="prod",pod="normal-0",container="sidemint"}} {cpu}
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{namespace="prod",pod="normal-0",container="sidemint"}} 12345678
"""


def fetch(url):
    with WITHOUT_PROXY.open(url, timeout=10) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


class World(http.server.BaseHTTPRequestHandler):
    """Provider, application and kubelet. The first segment of a path says what it makes of a request: `ok`, `refuses` the old key,
    or refuses it for `calls` of the gateway alone."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        _, temper, *rest = self.path.split("/")
        if temper == "metrics":
            return self.send(200, CONTAINER.format(cpu=time.monotonic()), "text/plain; version=0.0.4")
        is_asked = temper == "refuses" or (temper == "calls" and rest[-1] == "rooms")
        if is_asked and self.headers["x-api-key"] != NEW_KEY:
            return self.send(401, '{"error":"unknown key"}')
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        return self.send(200, json.dumps({"id": "1", "token": "t", "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}))

    def send(self, status, text, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Fleet(contextlib.ExitStack):
    """Ends what it started when it is left."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        world = http.server.ThreadingHTTPServer(("127.0.0.1", 0), World)
        world.daemon_threads = True
        threading.Thread(target=world.serve_forever, daemon=True).start()
        self.callback(world.shutdown)
        self.address = f"127.0.0.1:{world.server_address[1]}"
        self.nothing = f"127.0.0.1:{free_port()}"
        self.users = 0
        self.is_attacked = True
        self.processes = {}

    def begin(self, binary, jobs):
        for job in jobs:
            for number in range(2):
                self.start(binary, job, number)
        for _, _, address in self.targets():
            self.wait_for(f"{address}/readyz")

    def start(self, binary, job, number):
        folder = self.folder / f"{job}-{number}"
        folder.mkdir()
        secrets(folder)
        text = PLAIN + {"normal": SIGNED + HOOKS + CALLS, "hooks": HOOKS, "calls": CALLS}.get(job, "")
        if job == "teams":
            text = 'teams_dir = "{folder}/teams"\n' + text + TEAMS
        temper = {"wrong-key": "refuses", "calls": "calls"}.get(job, "ok")
        ports = {name: free_port() for name in ("front", "ops", "hooks", "gateway")}
        api = f"http://{self.nothing if job == 'provider-down' else self.address}/{temper}/v1"
        app = f"http://{self.nothing if job == 'hooks' else self.address}/ok"
        (folder / "config.toml").write_text(text.format(folder=folder, api=api, app=app, **ports))
        if job == "teams":
            for name in ("shop", "teams"):
                (folder / name).mkdir()
            (folder / "shop/api-key").write_text(OLD_KEY)
            (folder / "teams/shop.toml").write_text(TEAM.format(api=api))
            (folder / "teams/news.toml").write_text(TEAM.format(api=api).replace("sendsar", "sendsa"))
        log = (folder / "log").open("w")
        command = [binary, "serve", "--config", folder / "config.toml"]
        process = self.ends(subprocess.Popen(command, stdout=log, stderr=log, env={}))
        self.processes[job, number] = (process, ports)

    def ends(self, process):
        def end():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

        self.callback(end)
        return process

    def targets(self):
        return [(job, f"{job}-{number}", f"127.0.0.1:{ports['ops']}") for (job, number), (_, ports) in self.processes.items()]

    def is_up(self, address):
        return any(f"127.0.0.1:{ports['ops']}" == address and process.poll() is None for process, ports in self.processes.values())

    def wait_for(self, address):
        deadline = time.monotonic() + 60
        while True:
            try:
                return fetch(f"http://{address}")
            except OSError:
                if time.monotonic() > deadline:
                    self.show_logs()
                    raise
                time.sleep(0.05)

    def show_logs(self):
        for path in sorted(self.folder.glob("*/log")):
            print(f"---- {path.parent.name}\n" + "".join(path.read_text().splitlines(keepends=True)[-15:]))

    def trouble(self):
        """What begins only when Prometheus has seen how it was before."""
        for number in range(2):
            (self.folder / f"bad-secret-{number}/api-key").write_text("no key of this provider")
            process, _ = self.processes["gone", number]
            process.send_signal(signal.SIGTERM)

    def mend(self):
        """What the runbooks say: the new key is written into its file, and the attacker is kept out."""
        for job in ("wrong-key", "calls"):
            for number in range(2):
                (self.folder / f"{job}-{number}/api-key").write_text(NEW_KEY)
        self.is_attacked = False

    def drive(self):
        """One round of requests to every process: a user who is known, a new one, and what its job is about."""
        self.users += 1
        for (job, _), (process, ports) in self.processes.items():
            if process.poll() is not None:
                continue
            new = f"user{self.users}"
            ask(ports["front"], "/session", {"X-Forwarded-User": "alice"})
            ask(ports["front"], "/session", {"X-Forwarded-User": new})
            if job == "teams":
                ask(ports["front"], "/session", {"Host": "shop.example", "X-Forwarded-User": new})
            if job == "spoofing" and self.is_attacked:
                ask(ports["front"], "/session", {"X-Forwarded-User": "alice", "X_Forwarded_User": "admin"})
            if job in ("normal", "hooks"):
                for name in ("chat", "direct") if job == "normal" else ("chat",):
                    post(ports["hooks"], name, new, HOOK_KEY)
                    if job == "hooks":
                        post(ports["hooks"], name, new, b"another key of thirty-two bytes.")
            if job in ("normal", "calls"):
                ask(ports["gateway"], "/gateway/chat/chat/rooms", {"x-api-key": CALLER_KEY})
                if job == "calls":
                    ask(ports["gateway"], "/gateway/chat/tenant/settings", {"x-api-key": CALLER_KEY})


def secrets(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    until = now + datetime.timedelta(days=90)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown = b"whsec_" + base64.b64encode(HOOK_KEY)
    files = {"private.pem": private, "public.pem": public, "tls.crt": certificate.public_bytes(pem), "hook-key": shown, "forward.key": shown}
    files |= {"api-key": OLD_KEY.encode(), "caller-key": CALLER_KEY.encode()}
    for file, content in files.items():
        (folder / file).write_bytes(content)


def ask(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def post(port, name, number, key):
    """An event, signed as Standard Webhooks asks for."""
    body, at = json.dumps({"type": "message.new", "id": number}), str(int(time.time()))
    identity = f"msg_{name}_{number}"
    signature = base64.b64encode(hmac.digest(key, f"{identity}.{at}.{body}".encode(), hashlib.sha256)).decode()
    headers = {"webhook-id": identity, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}", "Content-Type": "application/json"}
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
    with contextlib.closing(connection):
        connection.request("POST", f"/webhooks/{name}", body, headers)
        return connection.getresponse().status

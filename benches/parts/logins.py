"""The part of the table about auth subrequests, beside programs that answer them for other purposes."""
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import peers
from harness import LOAD_CPU, PORTS, SCRATCH, Server, in_turn, present, quick, speed
from peers import BOTH, TOOLS

SECRET = "0123456789abcdef0123456789abcdef"
USER = {"sub": "alice", "name": "Alice", "preferred_username": "Alice", "email": "alice@example.com"}


class StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def location(url, data=None, cookies=""):
    """Where an answer sends the browser, and the cookies that it sets."""
    request = urllib.request.Request(url, data, {"Cookie": cookies} if cookies else {})
    try:
        answer = urllib.request.build_opener(StayHere).open(request)
    except urllib.error.HTTPError as redirect:
        answer = redirect
    set_cookies = [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie", [])]
    return answer.headers.get("Location"), "; ".join(set_cookies)


def provider_of_logins():
    """An OpenID provider at which alice signs in."""
    port = next(PORTS)
    command = [TOOLS / "venv/bin/oidc-provider-mock", "-p", str(port), "--user-claims", json.dumps(USER)]
    return Server("OpenID provider", command, cpu=LOAD_CPU, port=port, asked=False)


def oauth2_proxy(issuer):
    config = Path(SCRATCH.name, "oauth2-proxy.cfg")
    port = next(PORTS)
    config.write_text(f"""
http_address = "127.0.0.1:{port}"
provider = "oidc"
oidc_issuer_url = "http://127.0.0.1:{issuer}"
client_id = "app"
client_secret = "{SECRET}"
cookie_secret = "{SECRET}"
redirect_url = "http://127.0.0.1:{port}/oauth2/callback"
cookie_secure = false
insecure_oidc_allow_unverified_email = true
email_domains = ["*"]
skip_provider_button = true
set_xauthrequest = true
reverse_proxy = true
upstreams = ["static://202"]
request_logging = false
auth_logging = false
standard_logging = false
""")
    return Server("oauth2-proxy", [TOOLS / "bin/oauth2-proxy", "--config", config], path="/oauth2/auth", port=port, asked=False)


def sign_in(proxy):
    """As a browser does; from then on each request has alice's cookie."""
    base = f"http://127.0.0.1:{proxy.port}/oauth2"
    authorize, csrf = location(f"{base}/start")
    callback, _ = location(authorize, urllib.parse.urlencode({"sub": "alice"}).encode())
    _, cookies = location(callback, cookies=csrf)
    kept = "; ".join(cookie for cookie in cookies.split("; ") if not re.match(r"[^=]*csrf=$", cookie))
    proxy.raw = f"GET {proxy.path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\nCookie: {kept}\r\n\r\n"


def oathkeeper():
    port, rules, keys = next(PORTS), Path(SCRATCH.name, "rules.json"), Path(SCRATCH.name, "oathkeeper.jwks.json")
    program = TOOLS / "bin/oathkeeper"
    if not program.exists():
        return Server("Oathkeeper", [program])
    rule = {
        "id": "all",
        "match": {"url": "<https?>://<.*>", "methods": ["GET"]},
        "authenticators": [{"handler": "anonymous"}],
        "authorizer": {"handler": "allow"},
        "mutators": [{"handler": "id_token"}],
    }
    rules.write_text(json.dumps([rule]))
    keys.write_bytes(subprocess.check_output([program, "credentials", "generate", "--alg", "ES256"], stderr=subprocess.DEVNULL))
    values = {"PROXY_PORT": next(PORTS), "METRICS_PORT": next(PORTS), "RULES": rules, "KEYS": keys}
    server = Server("Oathkeeper", [program, "serve", "-c", "__CONFIG__"], path="/decisions/auth", port=port,
                    template=peers.PEERS / "oathkeeper.yaml", values=values)
    server.raw = f"GET {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    return server


@contextmanager
def signed_in():
    """oauth2-proxy, with alice's cookie."""
    with provider_of_logins() as issuer, oauth2_proxy(issuer.port) as proxy:
        sign_in(proxy)
        yield proxy


def login():
    """Subrequests, and what the programs hold after them. None of them writes a line for a request."""
    measured = {}
    for row, peer in {"oauth2-proxy": signed_in, "oathkeeper": oathkeeper}.items():
        if not present([Server(row, [TOOLS / "bin" / row])]):
            continue
        with peer() as theirs, peers.sidemint("sidemint", *BOTH, path="/auth") as ours:
            rounds = in_turn([ours, theirs])
            measured[f"login/{row}"] = speed(rounds, "sidemint", theirs.name)
            measured[f"login/{row}-memory"] = [theirs.memory() / ours.memory()]
    return measured

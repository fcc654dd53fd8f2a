"""JWTs as NATS signs them, with the keys of its own library. Shared by the judges about NATS."""

import base64
import json
import os

import nkeys


def key(prefix):
    """A new key pair of a role; the roles are the prefixes of `nkeys`."""
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def public(pair):
    return pair.public_key.decode()


def sign(pair, claims):
    """Signs claims; the issuer is the signer unless they name another."""
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = encode(json.dumps(header)) + "." + encode(json.dumps({"iss": public(pair), **claims}))
    return text + "." + encode(pair.sign(text.encode()))


def encode(data):
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

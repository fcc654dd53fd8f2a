#!/usr/bin/env python3
"""Makes what a NATS server trusts: an operator, an account that it signs, and the keys of both. Takes nothing.

Prints `operator` (JWT), `account` (public key), `account_jwt`, `account_seed` (signs users), `signing_seed` and `scoped_seed`
(sign users of the account as well; what the scoped one signs is allowed what its template says), `user` (the public key that all
users of the account may share, since bearers of a token prove nothing by key).
"""

import json
import sys

import nkeys

from nats_jwt import key, public, sign

NO_LIMITS = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
}


TEMPLATE = {
    "pub": {"allow": ["chat.{{name()}}.>", "_INBOX_{{name()}}.>"]}, "sub": {"allow": ["chat.>", "_INBOX_{{name()}}.>"]},
    "subs": -1, "data": -1, "payload": -1, "bearer_token": True,
}


def main():
    operator = key(nkeys.PREFIX_BYTE_OPERATOR)
    account, signing, scoped = (key(nkeys.PREFIX_BYTE_ACCOUNT) for _ in range(3))
    scope = {"kind": "user_scope", "key": public(scoped), "role": "chat", "template": TEMPLATE}
    rights = {"type": "account", "version": 2, "limits": NO_LIMITS, "signing_keys": [public(signing), scope]}
    of_operator = {"jti": "operator", "iat": 1, "sub": public(operator), "name": "tests"}
    of_account = {"jti": "account", "iat": 1, "sub": public(account), "name": "chat"}
    chain = {
        "operator": sign(operator, {**of_operator, "nats": {"type": "operator", "version": 2}}),
        "account": public(account),
        "account_jwt": sign(operator, {**of_account, "nats": rights}),
        "account_seed": account.seed.decode(),
        "signing_seed": signing.seed.decode(),
        "scoped_seed": scoped.seed.decode(),
        "user": public(key(nkeys.PREFIX_BYTE_USER)),
    }
    json.dump(chain, sys.stdout)


if __name__ == "__main__":
    main()

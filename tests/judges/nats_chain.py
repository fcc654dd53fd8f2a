#!/usr/bin/env python3
"""Makes what a NATS server trusts: an operator, an account that it signs, and the keys of both. Takes nothing.

Prints `operator` (JWT), `account` (public key), `account_jwt`, `account_seed` (signs users), `user` (the public key that
all users of the account may share, since bearers of a token prove nothing by key).
"""

import json
import sys

import nkeys

from nats_jwt import key, public, sign

NO_LIMITS = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
}


def main():
    operator = key(nkeys.PREFIX_BYTE_OPERATOR)
    account = key(nkeys.PREFIX_BYTE_ACCOUNT)
    of_operator = {"jti": "operator", "iat": 1, "sub": public(operator), "name": "tests"}
    of_account = {"jti": "account", "iat": 1, "sub": public(account), "name": "chat"}
    chain = {
        "operator": sign(operator, {**of_operator, "nats": {"type": "operator", "version": 2}}),
        "account": public(account),
        "account_jwt": sign(operator, {**of_account, "nats": {"type": "account", "version": 2, "limits": NO_LIMITS}}),
        "account_seed": account.seed.decode(),
        "user": public(key(nkeys.PREFIX_BYTE_USER)),
    }
    json.dump(chain, sys.stdout)


if __name__ == "__main__":
    main()

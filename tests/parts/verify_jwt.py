#!/usr/bin/env python3
"""Verifies a token with PyJWT: an implementation of JOSE that shares no code with ours.

Reads one JSON object from standard input: `token`; `jwks` (a key set) or `secret` (text, for HS256); `alg`; `audience`
and `issuer` (both required in the token); `now` (seconds). Prints `{"header": …, "claims": …}`, or `{"error": NAME}` for
a token that does not hold. Ends with 0 in both cases: whether a token ought to hold is for the test to say.
"""

import json
import sys

import jwt


def key_for(order):
    if "secret" in order:
        return order["secret"].encode()
    kid = jwt.get_unverified_header(order["token"])["kid"]
    # By kid alone, as a verifier does; KeyError when the set has no such key.
    return jwt.PyJWKSet.from_dict(order["jwks"])[kid].key


def verify(order):
    # The clock of the test is not ours, so times are compared with `now` and not with the time of day.
    checks = {"require": ["iss", "aud", "sub", "exp", "iat"], "verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        order["token"],
        key_for(order),
        algorithms=[order["alg"]],
        audience=order["audience"],
        issuer=order["issuer"],
        options=checks,
    )
    if not claims["iat"] <= order["now"] < claims["exp"]:
        raise jwt.ExpiredSignatureError("not valid at this time")
    return {"header": jwt.get_unverified_header(order["token"]), "claims": claims}


def main():
    order = json.load(sys.stdin)
    try:
        answer = verify(order)
    except (jwt.PyJWTError, KeyError) as error:
        answer = {"error": type(error).__name__}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()

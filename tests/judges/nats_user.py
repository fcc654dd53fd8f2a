#!/usr/bin/env python3
"""Signs the user JWT `claims` with the account seed `seed`, by the library of NATS. Prints `{"token": …}`."""

import json
import sys

import nkeys

from nats_jwt import sign


def main():
    order = json.load(sys.stdin)
    json.dump({"token": sign(nkeys.from_seed(order["seed"].encode()), order["claims"])}, sys.stdout)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The Python client of NATS: connects to `url` with the bearer token `token`, and then tries one `act` on `subject`.

`act` is `publish` or `subscribe`. Prints `{}` where the server lets it, else `{"at": "connect" or the act, "error": …}`.
"""

import asyncio
import json
import sys

import nats
import nats.errors


async def attempt(order):
    refusals = []

    async def remember(error):
        refusals.append(str(error))

    try:
        client = await nats.connect(
            order["url"],
            user_jwt_cb=lambda: order["token"].encode(),
            # A bearer owns no key to sign with; without this answer the client would not send the token.
            signature_cb=lambda nonce: b"",
            error_cb=remember,
            allow_reconnect=False,
        )
    except nats.errors.Error as error:
        return {"at": "connect", "error": str(error)}
    if order["act"] == "publish":
        await client.publish(order["subject"], b"hello")
    else:
        await client.subscribe(order["subject"])
    # The server answers in order, so what it objects to has arrived before the answer to this. Twice: now and then the first
    # answer is one to the ping with which the connection began.
    await client.flush()
    await client.flush()
    await client.close()
    return {"at": order["act"], "error": refusals[0]} if refusals else {}


def main():
    json.dump(asyncio.run(attempt(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()

// Ably's server library: a signed token request with `params` (clientId, capability, ttl, timestamp, nonce) under `key`.

import { judge, part } from "./judge.mjs";

const Ably = await part("ably");

judge(({ key, params }) => new Ably.Rest({ key }).auth.createTokenRequest(params));

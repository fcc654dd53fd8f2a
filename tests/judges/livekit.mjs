// LiveKit's server library. Mints with `mint` (options of its AccessToken), `grant` and `room_config`; without `mint`
// verifies `token` as a LiveKit server does. `key` and `secret` in both; `at` sets the clock.

import { judge, part, parts, verdict } from "./judge.mjs";

const { AccessToken, RoomConfiguration, TokenVerifier } = await part("livekit-server-sdk");

async function mint({ key, secret, mint, grant, room_config }) {
  const token = new AccessToken(key, secret, mint);
  if (grant) token.addGrant(grant);
  if (room_config) token.roomConfig = RoomConfiguration.fromJson(room_config);
  return parts(await token.toJwt());
}

async function verify({ key, secret, token }) {
  // Nothing is forgiven: the default leeway is for servers whose clocks differ, and here there is one clock.
  return { claims: await new TokenVerifier(key, secret).verify(token, 0) };
}

judge((order) => (order.mint ? mint(order) : verdict(() => verify(order))));

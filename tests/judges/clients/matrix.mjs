// Matrix' client library before a real Synapse at `server`. With `jwt` the page logs in with the session's token and has a
// Matrix session of its own; without, the token is the access token, and the page sets another one a minute before the end.

import { client, later, now, part } from "./stage.mjs";

const { createClient } = await part("matrix-js-sdk");

client(async ({ app, path, server, jwt, ttl }) => {
  const session = async () => (await fetch(app.url + path)).json();
  const [users, devices, tokens] = [[], new Set(), []];
  const note = ({ token, expiresAt }) => tokens.push({ token, at: now(), exp: Date.parse(expiresAt) / 1000 });
  if (jwt) {
    // Half a minute before the end sidemint hands out no more of the old one.
    for (const passed of [0, ttl - 30]) {
      await later(passed);
      const own = await session();
      note(own);
      const [device_id] = devices;
      const order = { type: "org.matrix.login.jwt", token: own.token, device_id };
      const login = await createClient({ baseUrl: server }).loginRequest(order);
      devices.add(login.device_id);
      const matrix = createClient({ baseUrl: server, userId: login.user_id, accessToken: login.access_token });
      users.push((await matrix.whoami()).user_id);
    }
    return { users, devices: devices.size, tokens };
  }
  const first = await session();
  note(first);
  const matrix = createClient({ baseUrl: server, userId: first.chatUserId, accessToken: first.token });
  const renewed = new Promise((resolve) => {
    setTimeout(async () => {
      const own = await session();
      note(own);
      matrix.setAccessToken(own.token);
      resolve();
    }, Date.parse(first.expiresAt) - Date.now() - 60_000);
  });
  users.push((await matrix.whoami()).user_id);
  await later(ttl - 60);
  await renewed;
  users.push((await matrix.whoami()).user_id);
  return { users, tokens };
});

// TalkJS' client library with `onNeedToken`. TalkJS is a strict stand-in: it takes tokens of `secret` for the app and the user
// of the address, and says how long they are good; the library needs another one five minutes before that.

import { client, later, now, part, pending, serve, tokenSource } from "./stage.mjs";

const { getTalkSession } = await part("@talkjs/core");
const { jwtVerify } = await part("jose");
globalThis.WebSocket = await part("ws");

async function talkjs(app, secret) {
  const known = (request, reply) => reply.writeHead(request.url === `/api/v0/${app}` ? 200 : 404).end("{}");
  const { server, host } = await serve(known);
  const [tokens, renewed] = [[], pending()];
  const renew = async (user, { token }) => {
    const checks = { algorithms: ["HS256"], issuer: app, subject: user, requiredClaims: ["exp"] };
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), checks);
    if (payload.tokenType !== "user") throw new Error("not a user's token");
    tokens.push({ token, at: now(), exp: payload.exp });
    if (tokens.length === 2) renewed.resolve();
    return { expiresInSeconds: Math.floor(payload.exp - now()) };
  };
  new WebSocket.Server({ server }).on("connection", (socket, request) => {
    const place = new URL(request.url, "http://x").pathname;
    const user = place.split(`/public_api/v1/${app}/realtime/`)[1];
    let trusted = false;
    socket.on("message", async (bytes) => {
      const [id, method, path, data] = JSON.parse(bytes);
      const answer = (status, body) => socket.send(JSON.stringify([id, status, body]));
      if (method === "POST" && path === "/session/renew") {
        const outcome = await renew(user, data).catch((error) => error);
        trusted = !(outcome instanceof Error);
        return trusted ? answer(200, outcome) : answer(401, { reasonPhrase: String(outcome) });
      }
      if (!trusted) return answer(401, {});
      answer(200, { id: user, name: "Alice", role: "default" });
    });
  });
  return { host, tokens, renewed: renewed.promise };
}

client(async ({ app_id, secret, ttl, ...page }) => {
  const fake = await talkjs(app_id, secret);
  const session = getTalkSession({ appId: app_id, userId: "alice", host: fake.host });
  const token = tokenSource(page);
  session.onNeedToken = async () => session.setToken(await token());
  const me = await session.currentUser.get();
  await later(ttl - 300);
  await fake.renewed;
  return { user: me?.id, tokens: fake.tokens };
});

// Sendbird's client library with a session handler. Sendbird is a strict stand-in for its connection: it takes each session
// token that the application has got for the user until its end, and says when a session is about to end. The library then
// tries the token that it has, and asks the handler for another one when that is refused.

import { client, later, now, part, pending, serve, tokenSource } from "./stage.mjs";

globalThis.WebSocket = await part("ws");
const { default: SendbirdChat, SessionHandler } = await part("@sendbird/chat");

const ENDED = { error: true, code: 400302, message: "the session token has ended, or is not known" };

async function sendbird(app, issued) {
  const { server, url } = await serve((request, reply) => {
    // Where it cannot renew a session over its connection, the library tries here.
    const call = request.method === "POST" && request.url.endsWith("/session_key");
    reply.writeHead(call ? 400 : 200, { "Content-Type": "application/json" }).end(JSON.stringify(call ? ENDED : {}));
  });
  const tokens = [];
  const judged = (user, token) => {
    const end = issued(user, token);
    if (!end || end <= now()) return false;
    tokens.push({ token, at: now(), exp: end });
    return true;
  };
  // The token comes as the name of a protocol.
  const sockets = new WebSocket.Server({ server, handleProtocols: ([name]) => name });
  sockets.on("connection", (socket, request) => {
    const asked = new URL(request.url, "http://x").searchParams;
    const user = asked.get("user_id");
    const send = (command, body) => socket.send(`${command}${JSON.stringify(body)}\n`);
    const { token } = JSON.parse(decodeURIComponent(request.headers["sec-websocket-protocol"]));
    const known = asked.get("ai") === app && asked.get("expiring_session") === "1" && judged(user, token);
    if (!known) return send("LOGI", ENDED);
    send("LOGI", { user_id: user, key: "first", nickname: "Alice", login_ts: Date.now(), ping_interval: 15, pong_timeout: 5 });
    socket.on("message", (bytes) => {
      const [command, body] = [String(bytes).slice(0, 4), JSON.parse(String(bytes).slice(4))];
      if (command !== "LOGI") return;
      const good = judged(user, body.token);
      send("LOGI", { req_id: body.req_id, ...(good ? { new_key: "second" } : ENDED) });
    });
  });
  const warn = () => sockets.clients.forEach((socket) => socket.send(`EXPR${JSON.stringify({ expires_in: 0, reason: 400309 })}\n`));
  return { url, tokens, warn };
}

client(async ({ app, app_id, ttl, ...page }) => {
  const answered = () => app.asked.map(({ content }) => JSON.parse(content));
  const issued = (user, token) => {
    const own = answered().find((session) => session.token === token && session.chatUserId === user);
    return own && Date.parse(own.expiresAt) / 1000;
  };
  const fake = await sendbird(app_id, issued);
  const token = tokenSource({ app, ...page });
  const hosts = { customApiHost: fake.url, customWebSocketHost: fake.url.replace("http", "ws") };
  const chat = SendbirdChat.init({ appId: app_id, localCacheEnabled: false, ...hosts });
  const [refreshed, failed] = [pending(), pending()];
  chat.setSessionHandler(
    new SessionHandler({
      onSessionTokenRequired: (resolve, reject) => token().then(resolve, reject),
      onSessionRefreshed: refreshed.resolve,
      onSessionError: failed.reject,
      onSessionClosed: () => failed.reject(new Error("closed")),
    }),
  );
  const me = await chat.connect("alice", await token());
  await later(ttl);
  fake.warn();
  await Promise.race([refreshed.promise, failed.promise]);
  return { user: me.userId, state: chat.connectionState, tokens: fake.tokens };
});

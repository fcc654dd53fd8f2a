// Stream's client library with a token provider. Stream is a strict stand-in: it takes tokens of `secret` for `user`, and
// answers code 40 after their end, on which the library calls the provider again.

import { client, later, now, part, serve, tokenSource } from "./stage.mjs";

const { StreamChat } = await part("stream-chat");
const { jwtVerify } = await part("jose");
const { WebSocketServer } = await part("ws");

async function stream(key, secret) {
  const tokens = [];
  const refusal = async (url, token) => {
    if (url.searchParams.get("api_key") !== key) return { code: 2, StatusCode: 401, message: "api_key not valid" };
    try {
      const { payload } = await jwtVerify(token ?? "", new TextEncoder().encode(secret), { algorithms: ["HS256"] });
      if (url.searchParams.get("user_id") !== payload.user_id) throw new Error("another user");
      // A token is noted once, however often it is shown.
      if (tokens.at(-1)?.token !== token) tokens.push({ token, at: now(), exp: payload.exp });
    } catch (error) {
      const ended = error.code === "ERR_JWT_EXPIRED";
      return { code: ended ? 40 : 43, StatusCode: 401, message: String(error) };
    }
  };
  const { server, url } = await serve(async (request, reply) => {
    const { headers } = request;
    const problem = await refusal(new URL(request.url, "http://x"), headers.authorization);
    const body = problem ?? { users: [], duration: "1ms" };
    reply.writeHead(problem ? 401 : 200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  new WebSocketServer({ server }).on("connection", async (socket, request) => {
    const asked = new URL(request.url, "http://x");
    const own = JSON.parse(asked.searchParams.get("json"));
    asked.searchParams.set("user_id", own.user_id);
    const error = await refusal(asked, asked.searchParams.get("authorization"));
    if (error) return socket.send(JSON.stringify({ error }));
    const me = { id: own.user_id, name: "Alice", role: "user", unread_count: 0, channel_mutes: [], mutes: [] };
    socket.send(JSON.stringify({ type: "health.check", connection_id: "one", cid: "*", me, created_at: new Date() }));
  });
  return { url, tokens };
}

client(async ({ key, secret, ttl, ...page }) => {
  const fake = await stream(key, secret);
  const chat = new StreamChat(key, { baseURL: fake.url });
  await chat.connectUser({ id: "alice" }, tokenSource(page));
  await chat.queryUsers({ id: "alice" });
  await later(ttl);
  await chat.queryUsers({ id: "alice" });
  return { tokens: fake.tokens };
});

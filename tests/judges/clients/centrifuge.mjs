// Centrifugo's client library with `getToken` for the connection and for a subscription, as Centrifugo's documents print
// them. The server is at `server`, or else a strict stand-in, which takes tokens of `secret` and says how long they are good.
// When that is over the library asks for others; the server gives it 25 seconds more. Then `passes` seconds have passed.

import { client, later, now, part, pending, serve } from "./stage.mjs";

const { Centrifuge, UnauthorizedError } = await part("centrifuge");
const { jwtVerify } = await part("jose");
const WebSocket = await part("ws");

/** The stand-in. What it does not take ends the connection. */
async function centrifugo(secret) {
  const { server, url } = await serve();
  const judged = async (token, channel) => {
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), { algorithms: ["HS256"], requiredClaims: ["sub", "exp"] });
    if (payload.channel !== channel) throw new Error("a token for something else");
    return { user: payload.sub, expires: true, ttl: payload.exp - now() };
  };
  new WebSocket.Server({ server }).on("connection", (socket) => {
    let user;
    const answers = {
      connect: async ({ token }) => {
        const { user: own, ...end } = await judged(token);
        user = own;
        return { client: "one", version: "6.9.1", ...end };
      },
      refresh: async ({ token }) => ({ client: "one", version: "6.9.1", ...(await judged(token)) }),
      subscribe: async ({ channel, token }) => judged(token, channel),
      sub_refresh: async ({ channel, token }) => judged(token, channel),
      presence: async () => ({ presence: { one: { client: "one", user } } }),
    };
    const obey = async (line) => {
      const { id, ...command } = JSON.parse(line);
      const [[kind, order]] = Object.entries(command);
      const answer = await answers[kind](order).catch(() => socket.close(3500, "invalid token"));
      if (answer) socket.send(JSON.stringify({ id, [kind]: answer }));
    };
    let earlier = Promise.resolve();
    socket.on("message", (bytes) => {
      for (const line of String(bytes).split("\n").filter(Boolean)) earlier = earlier.then(() => obey(line));
    });
  });
  return `${url.replace("http", "ws")}/connection/websocket`;
}

client(async ({ app, path, subscription, server, channel, other, secret, passes, refused }) => {
  const tokens = { connection: [], subscription: [] };
  const renewed = { connection: pending(), subscription: pending() };
  const getToken = (kind, url) => async (context) => {
    const headers = { "Content-Type": "application/json" };
    const order = context.channel ? { method: "POST", headers, body: JSON.stringify(context) } : {};
    const answer = await fetch(app.url + url, order);
    if (answer.status === 403) throw new UnauthorizedError("refused");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { token } = await answer.json();
    tokens[kind].push({ token, at: now(), exp: JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp });
    // After the library has sent it: what is asked next comes behind it.
    if (tokens[kind].length === 2) setTimeout(renewed[kind].resolve, 0);
    return token;
  };
  const endpoint = server ?? (await centrifugo(secret));
  const centrifuge = new Centrifuge(endpoint, { websocket: WebSocket, getToken: getToken("connection", path) });
  const lost = [];
  centrifuge.on("disconnected", ({ code, reason }) => lost.push({ code, reason }));
  centrifuge.on("connecting", ({ code, reason }) => code !== 0 && lost.push({ code, reason }));
  const own = centrifuge.newSubscription(channel, { getToken: getToken("subscription", subscription) });
  own.subscribe();
  centrifuge.connect();
  if (refused) {
    await new Promise((resolve) => centrifuge.on("disconnected", resolve));
    return { lost };
  }
  await Promise.all([centrifuge.ready(), own.ready()]);
  await later(passes);
  await Promise.all([renewed.connection.promise, renewed.subscription.promise]);
  const present = Object.values((await own.presence()).clients).map(({ user }) => user);
  const second = centrifuge.newSubscription(other, { getToken: getToken("subscription", subscription) });
  const denied = new Promise((resolve) => second.on("unsubscribed", ({ reason }) => resolve(reason)));
  second.subscribe();
  return { denied: await denied, present, lost, states: [centrifuge.state, own.state], ...tokens };
});

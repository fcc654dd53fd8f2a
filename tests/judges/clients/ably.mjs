// Ably's client library with `authUrl` on the application. Ably is a strict stand-in: it takes JWTs and token requests of
// `key` only (these by what its server library makes of the same parameters), and asks for another half a minute before
// the end, as Ably does.

import { json } from "node:stream/consumers";

import { client, later, now, part, pending, serve } from "./stage.mjs";

const Ably = await part("ably");
const { jwtVerify } = await part("jose");
const { WebSocketServer } = await part("ws");

const [CONNECTED, ERROR, AUTH] = [4, 9, 17];

/** The stand-in: tokens in the order in which connections brought them. */
async function ably(key) {
  const [name, secret] = key.split(":");
  const [tokens, issued, nonces] = [[], new Map(), new Set()];

  /** Client id and end of a token. */
  async function judged(token) {
    if (issued.get(token)?.exp > now()) return issued.get(token);
    const { payload, protectedHeader } = await jwtVerify(token, new TextEncoder().encode(secret), { algorithms: ["HS256"] });
    if (protectedHeader.kid !== name || !payload["x-ably-capability"]) throw new Error("not a token of this key");
    return { clientId: payload["x-ably-clientId"], exp: payload.exp };
  }

  async function redeem(request, reply) {
    const { mac, ...asked } = await json(request);
    const { keyName, ...params } = asked;
    const own = await new Ably.Rest({ key }).auth.createTokenRequest({ ...params, capability: asked.capability });
    const fresh = !nonces.has(asked.nonce) && Math.abs(asked.timestamp / 1000 - now()) < 120;
    if (request.url !== `/keys/${keyName}/requestToken` || own.mac !== mac || !fresh) {
      return reply.writeHead(401, { "Content-Type": "application/json" }).end('{"error":{"code":40101,"statusCode":401,"message":"refused"}}');
    }
    nonces.add(asked.nonce);
    const [token, start] = [`${name}.redeemed-${issued.size}`, Date.now()];
    issued.set(token, { clientId: asked.clientId, exp: (start + asked.ttl) / 1000 });
    const details = { token, keyName, issued: start, expires: start + asked.ttl, capability: asked.capability, clientId: asked.clientId };
    reply.writeHead(201, { "Content-Type": "application/json" }).end(JSON.stringify(details));
  }

  const { server, port } = await serve(redeem);
  const sockets = new WebSocketServer({ server });
  const accepted = [];
  sockets.on("connection", (socket, request) => {
    const send = (message) => socket.send(JSON.stringify(message));
    const take = async (token) => {
      try {
        const { clientId, exp } = await judged(token);
        tokens.push({ token, at: now(), exp });
        const connectionDetails = { clientId, connectionKey: "key", maxIdleInterval: 15_000, connectionStateTtl: 120_000, maxMessageSize: 65_536 };
        send({ action: CONNECTED, connectionId: "one", connectionKey: "key", connectionDetails });
        accepted.shift()?.resolve(clientId);
      } catch (error) {
        send({ action: ERROR, error: { code: 40140, statusCode: 401, message: String(error) } });
      }
    };
    socket.on("message", (bytes) => {
      const message = JSON.parse(bytes);
      if (message.action === AUTH) take(message.auth.accessToken);
    });
    take(new URL(request.url, "http://x").searchParams.get("access_token"));
  });
  const next = () => {
    accepted.push(pending());
    return accepted.at(-1).promise;
  };
  const wantAnother = () => sockets.clients.forEach((socket) => socket.send(JSON.stringify({ action: AUTH })));
  return { port, tokens, next, wantAnother };
}

client(async ({ app, path, key, ttl, refused }) => {
  const fake = await ably(key);
  const connected = fake.next();
  const realtime = new Ably.Realtime({
    authUrl: app.url + path,
    endpoint: "127.0.0.1",
    port: fake.port,
    tls: false,
    useBinaryProtocol: false,
    transports: ["web_socket"],
    disableConnectivityCheck: true,
  });
  if (refused) {
    await realtime.connection.whenState("failed");
    return { reason: realtime.connection.errorReason.statusCode };
  }
  const users = [await connected];
  await realtime.connection.whenState("connected");
  await later(ttl - 30);
  const renewed = fake.next();
  fake.wantAnother();
  users.push(await renewed);
  return { users, tokens: fake.tokens, state: realtime.connection.state };
});

// Twilio's client library for conversations. Twilio is a strict stand-in for the one connection that all its libraries share:
// it takes tokens of `secret`, and never the same one again; says that one is about to end three minutes before, as Twilio
// does; and answers what the library asks to start for a user without conversations. The page gives the client another token
// when it is told, as Twilio's documents print it.

import { client, later, now, part, pending, serve, tokenSource } from "./stage.mjs";

const { Client } = await part("@twilio/conversations");
const { jwtVerify } = await part("jose");
const { WebSocketServer } = await part("ws");

const OK = { code: 200, status: "OK" };
const AIM = "https://aim.us1.twilio.com/Client/v2";
const MCS = "https://mcs.us1.twilio.com/v1";

const packet = (header, payload) => {
  const text = payload ? JSON.stringify(payload) : "";
  const head = JSON.stringify({ ...header, payload_size: text.length, payload_type: "application/json" });
  return Buffer.from(`TWILSOCK V3.0 ${head.length}\r\n${head}\r\n${text}`);
};

const headerOf = (bytes) => {
  const start = bytes.indexOf("\r\n") + 2;
  return JSON.parse(bytes.subarray(start, start + Number(String(bytes.subarray(0, start)).split(" ")[2])));
};

/** What Twilio's services answer over the connection. */
function answer(user, path) {
  if (path === "/Client/v2/Configuration") {
    const links = { my_conversations: `${AIM}/Users/${user}/Conversations`, conversations: `${AIM}/Conversations`, users: `${AIM}/Users` };
    const more = { current_user: `${AIM}/Users/${user}`, typing: `${AIM}/Typing`, media_service: MCS, media_set_service: MCS };
    const sync_objects = { my_user_info: `user.${user}`, my_conversations: `conversations.${user}` };
    return { identity: user, options: {}, links: { ...links, ...more, messages_receipts: `${AIM}/Receipts` }, sync_objects };
  }
  if (path.endsWith("/Conversations")) return { conversations: [], meta: {} };
  if (path.endsWith("/Items")) return { items: [], meta: {} };
  const item = (key, value) => ({ key, data: { value }, revision: "0", last_event_id: 0, url: key });
  const items = path.endsWith(`/user.${user}`) ? [item("friendlyName", "Alice"), item("attributes", "{}")] : [];
  const url = `https://cds.us1.twilio.com${path}`;
  return { sid: path, unique_name: path, url, revision: "0", last_event_id: 0, links: { items: `${url}/Items` }, items };
}

async function twilio(account, service, secret) {
  const { server, url } = await serve();
  const [tokens, renewed] = [[], pending()];
  const judged = async (token) => {
    const checks = { algorithms: ["HS256"], subject: account, requiredClaims: ["exp", "jti", "iss"] };
    const { payload, protectedHeader } = await jwtVerify(token, new TextEncoder().encode(secret), checks);
    const known = protectedHeader.cty === "twilio-fpa;v=1" && payload.grants.chat.service_sid === service;
    if (!known || token === tokens.at(-1)?.token) throw new Error("refused");
    tokens.push({ token, at: now(), exp: payload.exp });
    return payload.grants.identity;
  };
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    let user;
    socket.on("message", async (bytes) => {
      const { method, id, token, http_request } = headerOf(bytes);
      const reply = (header, payload) => socket.send(packet({ method: "reply", id, status: OK, ...header }, payload));
      if (method === "init" || method === "update") {
        user = await judged(token).catch((error) => console.error(error));
        if (!user) return socket.send(packet({ method: "close", id, status: { code: 401, status: "UNAUTHORIZED" } }));
        const session = { continuation_token: "one", continuation_token_status: { reissued: false }, init_registrations: [] };
        reply(method === "init" ? { ...session, capabilities: ["client_update"] } : {});
        if (method === "update") renewed.resolve();
      } else if (http_request && user) {
        reply({ http_status: OK, http_headers: {} }, answer(user, http_request.path));
      } else if (method !== "reply") {
        reply({});
      }
    });
  });
  const warn = () => {
    const warning = { method: "client_update", id: "warning", client_update_type: "token_about_to_expire" };
    sockets.clients.forEach((socket) => socket.send(packet(warning)));
  };
  return { uri: url.replace("http", "ws"), tokens, warn, renewed: renewed.promise };
}

client(async ({ account, service_sid, secret, ttl, ...page }) => {
  const fake = await twilio(account, service_sid, secret);
  const token = tokenSource(page);
  const chat = new Client(await token(), { twilsock: { uri: fake.uri } });
  chat.on("tokenAboutToExpire", async () => chat.updateToken(await token()));
  await new Promise((resolve) => chat.on("initialized", resolve));
  await later(ttl - 180);
  fake.warn();
  await fake.renewed;
  return { user: chat.user.identity, state: chat.connectionState, tokens: fake.tokens };
});

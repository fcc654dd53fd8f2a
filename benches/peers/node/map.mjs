// The leanest Node there is: node:http and a Map of finished answers, no framework.
import http from "node:http";

const API_URL = process.env.API ?? "http://127.0.0.1:9001/v1";
const HEADERS = { "Content-Type": "application/json", "x-api-key": "sk_live_x" };
const LIFETIME = 3600;
const cache = new Map();

async function remote(id, name) {
  const post = (path, body) => fetch(`${API_URL}${path}`, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
  await (await post("/users", { id, username: name })).arrayBuffer();
  const { token, expiresAt } = await (await post("/auth/token", { userId: id, expiresIn: LIFETIME })).json();
  return Buffer.from(JSON.stringify({ token, expiresAt, apiUrl: API_URL, chatUserId: id, displayName: name }));
}

http
  .createServer(async (req, res) => {
    const id = req.headers["x-forwarded-user"];
    if (req.url !== "/api/chat/session" || !id) return res.writeHead(id ? 404 : 401).end();
    let entry = cache.get(id);
    if (!entry || entry.expires < Date.now()) {
      entry = { answer: await remote(id, req.headers["x-forwarded-name"] ?? id), expires: Date.now() + LIFETIME * 1000 };
      cache.set(id, entry);
    }
    res.writeHead(200, { "content-type": "application/json", "cache-control": "no-store", "content-length": entry.answer.length }).end(entry.answer);
  })
  .listen(Number(process.env.PORT), "127.0.0.1");

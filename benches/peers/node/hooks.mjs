// A webhook receiver as applications write it: Express, the raw body, an HMAC, an answer. MODE says what it does then:
//   keep     one row in SQLite, synchronous FULL, before the answer
//   answer   the answer at once
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const SECRET = "whsec_0123456789abcdef0123456789abcdef0123456789abcdef";

const proven = (req) => {
  const wanted = Buffer.from("sha256=" + createHmac("sha256", SECRET).update(req.body).digest("hex"));
  const given = Buffer.from(req.headers["x-webhook-signature"] ?? "");
  return given.length === wanted.length && timingSafeEqual(given, wanted);
};

let keep = () => {};
if (process.env.MODE === "keep") {
  const { default: Database } = await import("better-sqlite3");
  const database = new Database(process.env.FILE);
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = FULL");
  database.exec("CREATE TABLE event (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB)");
  const insert = database.prepare("INSERT OR IGNORE INTO event (id, body) VALUES (?, ?)");
  keep = (body) => insert.run(JSON.parse(body).id, body);
}

const app = express();
app.disable("x-powered-by");
app.set("etag", false);
app.get("/api/chat/session", (req, res) => res.json({}));
app.post("/webhooks/chat", express.raw({ type: "*/*" }), (req, res) => {
  if (!proven(req)) return res.status(401).end();
  keep(req.body);
  res.status(200).end();
});
app.listen(Number(process.env.PORT), "127.0.0.1");

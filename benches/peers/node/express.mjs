// Express, as the providers' documentation writes a session route. MODE says what it does for each request:
//   docs     two fetch calls to the provider
//   cached   the same behind lru-cache
//   livekit  LiveKit's own AccessToken
//   jose     an EdDSA token made with jose
import express from "express";

const MODE = process.env.MODE ?? "docs";
const API_URL = process.env.API ?? "http://127.0.0.1:9001/v1";
const HEADERS = { "Content-Type": "application/json", "x-api-key": "sk_live_x" };
const LIFETIME = 3600;
const GRANTS = { room: "lobby", roomJoin: true, canPublish: true, canSubscribe: true, canPublishData: true, hidden: false };

const signedIn = (req, res, next) => {
  const id = req.headers["x-forwarded-user"];
  if (!id) return res.status(401).json({ error: "Unauthorized" });
  req.user = { id, displayName: req.headers["x-forwarded-name"] ?? id };
  next();
};

const sessionOf = (user, token, expiresAt) => ({ token, expiresAt, apiUrl: API_URL, chatUserId: user.id, displayName: user.displayName });

async function remote(user) {
  const post = (path, body) => fetch(`${API_URL}${path}`, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
  const upsert = await post("/users", { id: user.id, username: user.displayName });
  if (!upsert.ok) return null;
  const minted = await post("/auth/token", { userId: user.id, expiresIn: LIFETIME });
  if (!minted.ok) return null;
  const { token, expiresAt } = await minted.json();
  return sessionOf(user, token, expiresAt);
}

const minters = {
  docs: async () => remote,

  cached: async () => {
    const { LRUCache } = await import("lru-cache");
    const cache = new LRUCache({ max: 200_000, ttl: LIFETIME * 1000 });
    return async (user) => {
      let session = cache.get(user.id);
      if (!session) {
        session = await remote(user);
        if (session) cache.set(user.id, session);
      }
      return session;
    };
  },

  livekit: async () => {
    const { AccessToken } = await import("livekit-server-sdk");
    return async (user) => {
      const token = new AccessToken("api-key", "0123456789abcdef0123456789abcdef", { identity: user.id, name: user.displayName, ttl: LIFETIME });
      token.addGrant(GRANTS);
      return sessionOf(user, await token.toJwt(), new Date(Date.now() + LIFETIME * 1000).toISOString());
    };
  },

  jose: async () => {
    const { SignJWT, generateKeyPair } = await import("jose");
    const { privateKey } = await generateKeyPair("EdDSA");
    return async (user) => {
      const exp = Math.floor(Date.now() / 1000) + LIFETIME;
      const token = await new SignJWT({ name: user.displayName, grants: GRANTS })
        .setProtectedHeader({ alg: "EdDSA", kid: "key_01", typ: "JWT" })
        .setIssuer("sidemint")
        .setAudience("chat")
        .setSubject(user.id)
        .setIssuedAt()
        .setExpirationTime(exp)
        .sign(privateKey);
      return sessionOf(user, token, new Date(exp * 1000).toISOString());
    };
  },
};

const mint = await minters[MODE]();
const app = express();
app.disable("x-powered-by");
app.set("etag", false);
app.get("/api/chat/session", signedIn, async (req, res) => {
  const session = await mint(req.user);
  if (!session) return res.status(503).json({ error: "Chat unavailable" });
  res.set("cache-control", "no-store").json(session);
});
app.listen(Number(process.env.PORT), "127.0.0.1");

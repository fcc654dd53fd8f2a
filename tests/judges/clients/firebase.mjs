// Firebase's client library: signs in with the session's token as the custom token. Google is a strict stand-in: it takes
// custom tokens of the service account `email` with the public key `pem` and for an hour at most, and ends the session that
// it gave for the first one, whereupon the page signs in again, with a token that must be another.

import { createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";

import { client, later, now, part, serve } from "./stage.mjs";

const { initializeApp } = await part("firebase/app");
const { getAuth, connectAuthEmulator, signInWithCustomToken } = await part("firebase/auth");
const { SignJWT, jwtVerify } = await part("jose");

const AUDIENCE = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";

async function google(email, pem) {
  const key = createPublicKey(pem);
  const secret = new TextEncoder().encode("what Google signs its own tokens with");
  const [tokens, sessions] = [[], new Map()];
  const idToken = (uid) => new SignJWT({ user_id: uid, sub: uid }).setProtectedHeader({ alg: "HS256" }).setIssuedAt().setExpirationTime("1h").sign(secret);
  const answers = {
    "/identitytoolkit.googleapis.com/v1/accounts:signInWithCustomToken": async ({ token, returnSecureToken }) => {
      const checks = { algorithms: ["RS256"], audience: AUDIENCE, issuer: email, subject: email, maxTokenAge: "1h", requiredClaims: ["uid", "exp"] };
      const { payload } = await jwtVerify(token, key, checks);
      if (payload.exp - payload.iat > 3600 || !returnSecureToken) throw new Error("INVALID_CUSTOM_TOKEN");
      tokens.push({ token, at: now(), exp: payload.exp });
      const refreshToken = `refresh-${tokens.length}`;
      sessions.set(refreshToken, payload.uid);
      return { idToken: await idToken(payload.uid), refreshToken, expiresIn: "3600", isNewUser: false };
    },
    "/identitytoolkit.googleapis.com/v1/accounts:lookup": async ({ idToken }) => {
      const { payload } = await jwtVerify(idToken, secret);
      return { users: [{ localId: payload.sub, lastLoginAt: "0", createdAt: "0" }] };
    },
    "/securetoken.googleapis.com/v1/token": async ({ refresh_token }) => {
      if (!sessions.has(refresh_token)) throw new Error("TOKEN_EXPIRED");
      return { access_token: await idToken(sessions.get(refresh_token)), refresh_token, expires_in: "3600" };
    },
  };
  const { url } = await serve(async (request, reply) => {
    const { pathname } = new URL(request.url, "http://x");
    const body = await text(request);
    const fields = body.startsWith("{") ? JSON.parse(body) : Object.fromEntries(new URLSearchParams(body));
    try {
      const answer = await answers[pathname](fields);
      reply.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
    } catch (error) {
      const refusal = { error: { code: 400, message: error.message, errors: [] } };
      reply.writeHead(400, { "Content-Type": "application/json" }).end(JSON.stringify(refusal));
    }
  });
  return { url, tokens, endSessions: () => sessions.clear() };
}

client(async ({ app, path, email, pem, ttl }) => {
  const fake = await google(email, pem);
  const auth = getAuth(initializeApp({ apiKey: "public", projectId: "chat-test" }));
  connectAuthEmulator(auth, fake.url, { disableWarnings: true });
  const signIn = async () => signInWithCustomToken(auth, (await (await fetch(app.url + path)).json()).token);
  const users = [(await signIn()).user.uid];
  await auth.currentUser.getIdToken(true);
  await later(ttl - 60);
  fake.endSessions();
  const ended = await auth.currentUser.getIdToken(true).then(() => "still good", (error) => error.code);
  users.push((await signIn()).user.uid);
  return { users, ended, tokens: fake.tokens };
});

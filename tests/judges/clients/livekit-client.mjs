// LiveKit's client library in Chromium, with the application as its token endpoint: joins a room twice, the second time
// within the last minute of the token, where the library fetches another one. The server is at `server`, or else a strict
// stand-in for its signalling, which takes what LiveKit's server library verifies, for a room to join.

import { readFileSync } from "node:fs";

import { launch } from "../../parts/chromium.mjs";
import { client, later, now, part, resolve, serve } from "./stage.mjs";

const { JoinResponse, SignalResponse } = await part("@livekit/protocol");
const { TokenVerifier } = await part("livekit-server-sdk");
const { WebSocketServer } = await part("ws");

async function livekit(key, secret) {
  const { server, url } = await serve((_request, reply) => reply.writeHead(401, { "Access-Control-Allow-Origin": "*" }).end("no"));
  const verifier = new TokenVerifier(key, secret);
  const verifyClient = async ({ req }, answer) => {
    try {
      const token = new URL(req.url, "http://x").searchParams.get("access_token");
      req.claims = await verifier.verify(token, 0);
      answer(req.claims.video.roomJoin === true && req.claims.video.room !== undefined, 401);
    } catch (error) {
      answer(false, 401, String(error));
    }
  };
  new WebSocketServer({ server, verifyClient }).on("connection", (socket, { claims }) => {
    const join = new JoinResponse({
      room: { sid: "RM_1", name: claims.video.room },
      participant: { sid: "PA_1", identity: claims.sub, name: claims.name },
      serverVersion: "1.13.5",
      serverInfo: { protocol: 16, version: "1.13.5" },
      pingInterval: 10,
      pingTimeout: 20,
    });
    socket.send(new SignalResponse({ message: { case: "join", value: join } }).toBinary());
  });
  return url.replace("http", "ws");
}

/** In the page: joins the room as LiveKit's documents print it, up to `event`. */
const join = async ({ path, server, room: roomName, event }) => {
  const { Room, TokenSource } = window.LivekitClient;
  window.source ??= TokenSource.endpoint(path);
  const { serverUrl, participantToken } = await window.source.fetch({ roomName });
  const room = new Room();
  const seen = new Promise((resolve) => room.once(event, resolve));
  const joining = room.connect(server, participantToken);
  await Promise.race([seen, joining.then(() => seen)]);
  joining.catch(() => {});
  const own = { room: room.name, identity: room.localParticipant.identity, name: room.localParticipant.name };
  await room.disconnect();
  return { serverUrl, token: participantToken, own };
};

client(async ({ app, path, server, room, key, secret, ttl }) => {
  const library = readFileSync(resolve("livekit-client"));
  app.files["/livekit-client.js"] = { type: "text/javascript", content: library };
  app.files["/"] = { type: "text/html", content: '<!doctype html><link rel="icon" href="data:,"><title>call</title><script src="/livekit-client.js"></script>' };
  const browser = await launch(server ? ["--allow-loopback-in-peer-connection"] : []);
  const page = await browser.newPage();
  await page.goto(app.url);
  const wanted = { path, room, server: server ?? (await livekit(key, secret)), event: server ? "connected" : "signalConnected" };
  const seen = [];
  const tokens = [];
  for (const passed of [0, ttl - 30]) {
    await later(passed);
    await page.clock.setFixedTime(Date.now());
    const { token, ...rest } = await page.evaluate(join, wanted);
    seen.push(rest);
    tokens.push({ token, at: now(), exp: JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp });
  }
  await browser.close();
  return { seen, tokens };
});

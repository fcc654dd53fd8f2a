// Liveblocks' client with the application as its auth endpoint: enters rooms of the server at `server`, one after the other,
// the second within the half minute before the end of the token, where the library needs another one. With `cached` it gets
// the first answer again.

import { client, laterInClient, now, part } from "./stage.mjs";

const { createClient } = await part("@liveblocks/client");
const WebSocket = await part("ws");

client(async ({ app, path, server, rooms, ttl, cached }) => {
  const tokens = [];
  let first;
  const fetchOrRepeat = async (...asked) => {
    const answer = await fetch(...asked);
    first ??= answer.clone();
    return cached ? first.clone() : answer;
  };
  // The server takes connections, and tells the client alone what it thinks of a token: what it was shown is noted here.
  class Noted extends WebSocket {
    constructor(url) {
      const token = new URL(url).searchParams.get("tok");
      if (token) tokens.push({ token, at: now(), exp: JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp });
      super(url);
    }
  }
  const liveblocks = createClient({
    authEndpoint: app.url + path,
    baseUrl: server,
    polyfills: { fetch: fetchOrRepeat, WebSocket: Noted },
  });
  const entered = [];
  for (const room of rooms) {
    // The service, which keeps no token here, stays at the time of the server, whose clock cannot be moved.
    if (entered.length > 0) laterInClient(ttl - 20);
    entered.push(await enter(liveblocks, room));
  }
  return { entered, tokens };
});

/** That the room is entered, or why not. */
function enter(liveblocks, name) {
  return new Promise((resolve) => {
    const { room } = liveblocks.enterRoom(name, { initialPresence: {} });
    room.subscribe("error", (error) => resolve(error.message));
    room.subscribe("status", (status) => status === "connected" && resolve(status));
  });
}

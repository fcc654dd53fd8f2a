// The client of Liveblocks, with an auth endpoint of ours: enters rooms of the server at `server`, one after the other.
//
// `endpoint` is the address of the session route, `headers` are what a login proxy would add. Two hours pass between rooms, so
// that the client asks for a token again; with `cached` it gets the same answer as the first time. Answers what the client
// `asked`, and for each room the `status` of the connection or the client's `error`.

import { judge, part } from "./judge.mjs";

const { createClient } = await part("@liveblocks/core");
const WebSocket = await part("ws");

await judge(async ({ server, endpoint, headers, rooms, cached }) => {
  const asked = [];
  let first;
  const fetchAsPage = async (url, options) => {
    if (String(url) !== endpoint) return fetch(url, options);
    asked.push(JSON.parse(options.body));
    const answer = await fetch(url, { ...options, headers: { ...options.headers, ...headers } });
    first ??= answer.clone();
    return cached ? first.clone() : answer;
  };
  const client = createClient({
    authEndpoint: endpoint,
    baseUrl: server,
    polyfills: { fetch: fetchAsPage, WebSocket },
  });
  const seen = [];
  for (const room of rooms) {
    seen.push(await enter(client, room));
    const now = Date.now() + 7200 * 1000;
    Date.now = () => now;
  }
  return { seen, asked };
});

/** The status of a connection, once it is made or given up. */
function enter(client, room) {
  return new Promise((resolve) => {
    const { room: entered } = client.enterRoom(room, { initialPresence: {} });
    client.events.error.subscribe((error) => resolve({ error: error.message }));
    entered.events.status.subscribe((status) => {
      if (status === "connected") resolve({ status });
    });
  });
}

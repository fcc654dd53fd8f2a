// Pusher's client library as an application uses it, against our endpoints: signs in at `user_url`, subscribes to
// `channel` through `channel_url`, both with `headers`. Prints what it then sends to Pusher, or says why it does not.
//
// Pusher itself is a stand-in that greets with socket id `socket_id` and writes down what comes.

import { once } from "node:events";

import { judge, part } from "./judge.mjs";

const Pusher = await part("pusher-js");
const { WebSocketServer } = await part("ws");

/** A stand-in for Pusher: `said(event)` resolves to the data of the first message of that kind. */
async function pusherFor(socket_id) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const [seen, waiting] = [new Map(), new Map()];
  server.on("connection", (socket) => {
    const greeting = { socket_id, activity_timeout: 120 };
    socket.send(JSON.stringify({ event: "pusher:connection_established", data: JSON.stringify(greeting) }));
    socket.on("message", (bytes) => {
      const { event, data } = JSON.parse(bytes);
      seen.set(event, data);
      waiting.get(event)?.(data);
    });
  });
  const said = (event) => new Promise((resolve) => (seen.has(event) ? resolve(seen.get(event)) : waiting.set(event, resolve)));
  return { port: server.address().port, said };
}

judge(async ({ key, socket_id, user_url, channel_url, channel, headers, params }) => {
  const { port, said } = await pusherFor(socket_id);
  // Refused sign-ins are told through the log alone.
  const refused = new Promise((resolve) => {
    Pusher.log = (line) => line.includes("Error during signin") && resolve({ error: line });
  });
  const client = new Pusher(key, {
    cluster: "",
    wsHost: "127.0.0.1",
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    userAuthentication: { endpoint: user_url, transport: "ajax", headers, params },
    channelAuthorization: { endpoint: channel_url, transport: "ajax", headers, params },
  });
  const answer = {};
  if (user_url) {
    client.signin();
    answer.user = await Promise.race([said("pusher:signin"), refused]);
  }
  if (channel_url) {
    const subscription = client.subscribe(channel);
    const denied = new Promise((resolve) => subscription.bind("pusher:subscription_error", resolve));
    answer.channel = await Promise.race([said("pusher:subscribe"), denied]);
  }
  return answer;
});

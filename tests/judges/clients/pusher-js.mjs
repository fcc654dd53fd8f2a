// Pusher's client library with both endpoints on the application: signs in, and subscribes to `channels`. Pusher is a strict
// stand-in: it takes what its server library signs for the socket, and gives a new socket id when it ends a connection,
// whereupon the client needs new signatures.

import { client, part, pending, serve } from "./stage.mjs";

const Pusher = await part("pusher-js");
const Server = await part("pusher");
const { WebSocketServer } = await part("ws");

/** The stand-in. `settled(n)` resolves when the nth connection has brought all that is expected of one. */
async function pusher(key, secret, expected) {
  const own = new Server({ appId: "1", key, secret, host: "127.0.0.1" });
  const { server, port } = await serve();
  const [seen, settled] = [[], [pending(), pending()]];
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket, request) => {
    const number = seen.length;
    const socket_id = `${number + 1}.1`;
    const events = [];
    seen.push({ socket_id, events });
    const send = (event, data, more = {}) => socket.send(JSON.stringify({ event, data: JSON.stringify(data), ...more }));
    if (!request.url.startsWith(`/app/${key}?`)) return socket.close(4001);
    send("pusher:connection_established", { socket_id, activity_timeout: 120 });
    const answers = {
      "pusher:signin": ({ auth, user_data }) => {
        const right = own.authenticateUser(socket_id, JSON.parse(user_data));
        if (right.auth !== auth || right.user_data !== user_data) return socket.close(4009);
        send("pusher:signin_success", { user_data });
        events.push({ event: "signin", user: JSON.parse(user_data), auth });
      },
      "pusher:subscribe": ({ auth, channel, channel_data }) => {
        const member = channel_data && JSON.parse(channel_data);
        const open = !/^(private|presence)-/.test(channel) || channel.startsWith("#server-to-user-");
        if (!open && own.authorizeChannel(socket_id, channel, member).auth !== auth) return socket.close(4009);
        const presence = member ? { presence: { count: 1, ids: [member.user_id], hash: { [member.user_id]: member.user_info ?? null } } } : {};
        send("pusher_internal:subscription_succeeded", presence, { channel });
        if (!open) events.push({ event: "subscribe", channel, user: member ?? null, auth });
      },
    };
    socket.on("message", (bytes) => {
      const { event, data } = JSON.parse(bytes);
      answers[event]?.(data);
      if (events.length === expected) settled[number].resolve();
    });
  });
  // Close codes from 4200 on: connect again at once.
  const hangUp = () => sockets.clients.forEach((socket) => socket.close(4200));
  return { port, seen, settled: (number) => settled[number].promise, hangUp };
}

client(async ({ app, user_path, channel_path, key, secret, channels, refused }) => {
  const fake = await pusher(key, secret, 1 + channels.length);
  const pusherClient = new Pusher(key, {
    cluster: "",
    wsHost: "127.0.0.1",
    wsPort: fake.port,
    forceTLS: false,
    enabledTransports: ["ws"],
    userAuthentication: { endpoint: app.url + user_path, transport: "ajax" },
    channelAuthorization: { endpoint: app.url + channel_path, transport: "ajax" },
  });
  pusherClient.signin();
  for (const channel of channels) pusherClient.subscribe(channel);
  await fake.settled(0);
  const denied = await new Promise((resolve) => pusherClient.subscribe(refused).bind("pusher:subscription_error", resolve));
  pusherClient.unsubscribe(refused);
  fake.hangUp();
  await fake.settled(1);
  // The library asks for all at once.
  const inOrder = ({ channel: one = "" }, { channel: other = "" }) => (one < other ? -1 : 1);
  return { denied: denied.status, connections: fake.seen.map(({ events }) => events.sort(inOrder)) };
});

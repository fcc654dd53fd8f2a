// Server libraries of chat systems, unmodified, at any address: a provider's, or the gateway's. `library` and what its
// constructor takes: `url` (where to), `id` and `key`; `calls` is a list of a name of the library's section below and its
// argument. Each gets `done` or what the library says of the failure.

import { judge, part } from "./judge.mjs";

const address = (url) => {
  const { hostname, port } = new URL(url);
  return { hostname, port: Number(port) };
};

const LIBRARIES = {
  async livekit({ url, id, key }) {
    const { RoomServiceClient, AgentDispatchClient, EgressClient, DataPacket_Kind } = await part("livekit-server-sdk");
    const rooms = new RoomServiceClient(url, id, key);
    const agents = new AgentDispatchClient(url, id, key);
    const egress = new EgressClient(url, id, key);
    return {
      "room.create": (options) => rooms.createRoom(options),
      "room.list": ({ names }) => rooms.listRooms(names),
      "room.delete": ({ room }) => rooms.deleteRoom(room),
      "room.metadata": ({ room, metadata }) => rooms.updateRoomMetadata(room, metadata),
      "room.send": ({ room, text }) => rooms.sendData(room, Buffer.from(text), DataPacket_Kind.RELIABLE, { topic: "chat" }),
      "participant.list": ({ room }) => rooms.listParticipants(room),
      "participant.get": ({ room, identity }) => rooms.getParticipant(room, identity),
      "participant.remove": ({ room, identity }) => rooms.removeParticipant(room, identity),
      "participant.mute": ({ room, identity, track }) => rooms.mutePublishedTrack(room, identity, track, true),
      "participant.update": ({ room, identity, ...options }) => rooms.updateParticipant(room, identity, options),
      "participant.subscribe": ({ room, identity, track }) => rooms.updateSubscriptions(room, identity, [track], true),
      "participant.forward": ({ room, identity, to }) => rooms.forwardParticipant(room, identity, to),
      "participant.move": ({ room, identity, to }) => rooms.moveParticipant(room, identity, to),
      "dispatch.create": ({ room, agent }) => agents.createDispatch(room, agent, { metadata: "m" }),
      "dispatch.list": ({ room }) => agents.listDispatch(room),
      "dispatch.delete": ({ room, dispatch }) => agents.deleteDispatch(dispatch, room),
      "egress.list": ({ room }) => egress.listEgress({ roomName: room }),
      "egress.stop": ({ egress: own }) => egress.stopEgress(own),
    };
  },

  async stream({ url, id, key }) {
    const { StreamChat } = await part("stream-chat");
    const client = new StreamChat(id, key, { baseURL: url, timeout: 10_000 });
    return {
      "user.upsert": (user) => client.upsertUser(user),
      "user.query": (filter) => client.queryUsers(filter),
      "user.delete": ({ user }) => client.deleteUser(user),
      "channel.create": ({ channel, by }) => client.channel("messaging", channel, { created_by_id: by }).create(),
      "channel.update": ({ channel, name }) => client.channel("messaging", channel).update({ name }),
      "message.send": ({ channel, text, by }) => client.channel("messaging", channel).sendMessage({ text, user_id: by }),
      "message.delete": ({ message }) => client.deleteMessage(message, true),
      "app.get": () => client.getAppSettings(),
    };
  },

  async pusher({ url, id, key, app }) {
    const Pusher = await part("pusher");
    const { hostname, port } = address(url);
    const client = new Pusher({ appId: app, key: id, secret: key, host: hostname, port, useTLS: false });
    const read = async (answer) => JSON.parse(await (await answer).text());
    return {
      "event.trigger": ({ channels, data }) => read(client.trigger(channels, "greeting", data)),
      "event.batch": ({ channel }) => read(client.triggerBatch([{ channel, name: "a", data: "1" }])),
      "channel.list": (params) => read(client.get({ path: "/channels", params })),
      "channel.get": ({ channel, ...params }) => read(client.get({ path: `/channels/${channel}`, params })),
      "channel.users": ({ channel }) => read(client.get({ path: `/channels/${channel}/users` })),
      "user.disconnect": ({ user }) => read(client.terminateUserConnections(user)),
    };
  },

  async ably({ url, key, binary = false }) {
    const { Rest } = await part("ably");
    const { hostname, port } = address(url);
    const client = new Rest({ key, endpoint: hostname, port, tls: false, useBinaryProtocol: binary });
    return {
      "message.publish": ({ channel, data }) => client.channels.get(channel).publish("greeting", data),
      "message.history": ({ channel }) => client.channels.get(channel).history({ limit: 10 }).then((page) => page.items),
      "presence.get": ({ channel }) => client.channels.get(channel).presence.get().then((page) => page.items),
      "token.request": () => client.auth.requestToken(),
    };
  },

  async liveblocks({ url, key }) {
    const { Liveblocks } = await part("@liveblocks/node");
    const client = new Liveblocks({ secret: key, baseUrl: url });
    return {
      "room.create": ({ room }) => client.createRoom(room, { defaultAccesses: [] }),
      "room.list": () => client.getRooms({ limit: 5 }),
      "room.get": ({ room }) => client.getRoom(room),
      "room.update": ({ room, metadata }) => client.updateRoom(room, { metadata }),
      "room.users": ({ room }) => client.getActiveUsers(room),
      "room.broadcast": ({ room, event }) => client.broadcastEvent(room, event),
      "room.delete": ({ room }) => client.deleteRoom(room),
      "token.identify": ({ user }) => client.identifyUser({ userId: user, groupIds: [] }),
    };
  },

  // The library knows no base address: its documents say to give it a client that writes another one.
  async twilio({ url, id, key, account }) {
    const twilio = await part("twilio");
    class Rewritten extends twilio.RequestClient {
      request(options) {
        const uri = new URL(options.uri);
        return super.request({ ...options, uri: url + uri.pathname + uri.search });
      }
    }
    const client = twilio(id, key, { accountSid: account, httpClient: new Rewritten() });
    const service = client.conversations.v1.services("IS0123456789abcdef0123456789abcdef");
    return {
      "conversation.create": ({ name }) => service.conversations.create({ friendlyName: name }),
      "conversation.list": () => service.conversations.list({ limit: 1 }),
      "conversation.get": ({ conversation }) => service.conversations(conversation).fetch(),
      "message.send": ({ conversation, text }) => service.conversations(conversation).messages.create({ body: text }),
      "conversation.delete": ({ conversation }) => service.conversations(conversation).remove(),
    };
  },
};

/** What a library tells its user: the field's own status and code, wherever it keeps them. */
function failure(error) {
  const status = error.status ?? error.statusCode ?? error.response?.status;
  return { error: { name: error.name, status, code: error.code, message: error.message, body: error.body } };
}

/** What a library gives back, where that is data: some answers hold their client, in a circle. */
function data(answer) {
  try {
    return JSON.parse(JSON.stringify(answer ?? null, (_, value) => (typeof value === "bigint" ? String(value) : value)));
  } catch {
    return null;
  }
}

judge(async ({ library, calls, ...options }) => {
  const client = await LIBRARIES[library](options);
  const outcomes = [];
  for (const [name, argument] of calls) {
    try {
      outcomes.push({ done: data(await client[name](argument)) });
    } catch (error) {
      outcomes.push(failure(error));
    }
  }
  return outcomes;
});

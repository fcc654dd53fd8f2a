// A call on a LiveKit server at `server`, in `room`: LiveKit's client library in Chromium joins and publishes its microphone; then
// `half` is called, which is the test's to say; then it unpublishes and leaves, and the room is deleted. Answers the names of
// the events that the server must have posted, in order.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { launch } from "../parts/chromium.mjs";
import { judge, part, resolve } from "./judge.mjs";

const { AccessToken, RoomServiceClient } = await part("livekit-server-sdk");

/** The page: the library, and nothing else. */
async function page() {
  const library = readFileSync(resolve("livekit-client"));
  const server = createServer((request, reply) => {
    const [type, content] = request.url.endsWith(".js")
      ? ["text/javascript", library]
      : ["text/html", '<!doctype html><link rel="icon" href="data:,"><title>call</title><script src="/livekit-client.js"></script>'];
    reply.writeHead(200, { "Content-Type": type }).end(content);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}/`;
}

/** In the page: the first half. */
const join = async ({ server, token }) => {
  const { Room } = window.LivekitClient;
  window.room = new Room();
  await window.room.connect(server, token);
  window.track = await window.room.localParticipant.setMicrophoneEnabled(true);
};

/** In the page: the second half. */
const leave = async () => {
  await window.room.localParticipant.unpublishTrack(window.track.track);
  await window.room.disconnect();
};

judge(async ({ server, key, secret, room, half }) => {
  const token = new AccessToken(key, secret, { identity: "alice", name: "Alice" });
  token.addGrant({ roomJoin: true, room });
  const browser = await launch([
    "--allow-loopback-in-peer-connection", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  ]);
  const tab = await browser.newPage();
  await tab.goto(await page());
  await tab.evaluate(join, { server, token: await token.toJwt() });
  await fetch(half, { method: "POST" });
  await tab.evaluate(leave);
  await browser.close();
  await new RoomServiceClient(server.replace("ws", "http"), key, secret).deleteRoom(room);
  return ["room_started", "participant_joined", "track_published", "track_unpublished", "participant_left", "room_finished"];
});

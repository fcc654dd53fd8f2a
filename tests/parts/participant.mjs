// A participant of a LiveKit room at `server` with a token of its own: it joins, and stays until it is ended. It sends no media,
// which a server waits for a while; then it joins again. Prints "joined" when it is in.

import { createRequire } from "node:module";

const { WebSocket } = createRequire(new URL("../../.tools/node/", import.meta.url))("ws");
const [server, token] = process.argv.slice(2);

function join() {
  const socket = new WebSocket(`${server}/rtc?access_token=${token}&protocol=9&sdk=js&version=2.0.0&auto_subscribe=1`);
  socket.once("message", () => console.log("joined"));
  socket.on("error", (error) => console.log(String(error)));
  socket.on("close", () => setTimeout(join, 50));
}
join();

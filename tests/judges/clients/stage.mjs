// What the judges of client libraries share: time in hand, an application with a login in front of sidemint, and a bound.
//
// Import this before the library: it puts a clock into the process that stands still until `later` moves it, together with
// the service's. Long timers are rung by that clock; short ones are left alone.

import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { ChatSession } from "../../../clients/js/chat-session.js";
import { judge } from "../judge.mjs";

export { part, resolve } from "../judge.mjs";

// Longer than what libraries wait for signs of life from a server.
const LONG = 45_000;
const PATIENCE = 40_000;
const real = { Date, setTimeout, clearTimeout };
const timers = new Set();
let milliseconds = real.Date.now();
let clock;

globalThis.Date = class extends real.Date {
  constructor(...given) {
    super(...(given.length === 0 ? [milliseconds] : given));
  }

  static now() {
    return milliseconds;
  }
};

globalThis.setTimeout = Object.assign((ring, delay = 0, ...given) => {
  if (!(delay >= LONG)) return real.setTimeout(ring, delay, ...given);
  const timer = { due: milliseconds + delay, ring: () => ring(...given), ref: () => timer, unref: () => timer };
  timers.add(timer);
  return timer;
}, real.setTimeout);

globalThis.clearTimeout = (timer) => {
  if (!timers.delete(timer)) real.clearTimeout(timer);
};

/** The time of day in seconds, as the client has it. */
export const now = () => milliseconds / 1000;

/** So many seconds pass, for the service and for the client. */
export async function later(seconds) {
  await fetch(clock, { method: "POST", body: JSON.stringify({ seconds }) });
  laterInClient(seconds);
}

/** So many seconds pass for the client alone; timers that are due ring. */
export function laterInClient(seconds) {
  milliseconds += seconds * 1000;
  for (const timer of [...timers].filter(({ due }) => due <= milliseconds)) {
    timers.delete(timer);
    timer.ring();
  }
}

/** A server on a free port of loopback, with its address; `answer` as createServer has it. */
export async function serve(answer) {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${server.address().port}`;
  return { server, host, port: server.address().port, url: `http://${host}` };
}

/** A promise with its handles. */
export function pending() {
  const handles = {};
  handles.promise = new Promise((resolve, reject) => Object.assign(handles, { resolve, reject }));
  return handles;
}

/**
 * The application as its pages see it: one origin, whose login tells sidemint who the user is, where there is one. It serves `files` (path to
 * content type and content) itself, hands everything else on, and remembers what was `asked`.
 */
async function application(sidemint, user, files = {}) {
  const asked = [];
  const { url } = await serve(async (request, reply) => {
    const file = files[request.url];
    if (file) return reply.writeHead(200, { "Content-Type": file.type }).end(file.content);
    const body = await text(request);
    const { host, connection, ...headers } = request.headers;
    delete headers["content-length"];
    const answer = await fetch(sidemint + request.url, {
      method: request.method,
      headers: { ...headers, ...(user && { "x-forwarded-user": user, "x-forwarded-name": "Alice" }) },
      body: body || undefined,
    });
    const content = await answer.text();
    asked.push({ method: request.method, path: request.url, body, status: answer.status, content });
    const passed = ["content-type", "retry-after", "x-request-id"].filter((name) => answer.headers.has(name));
    // By the clock of the service: pages go by it.
    const own = Object.fromEntries(passed.map((name) => [name, answer.headers.get(name)]));
    reply.writeHead(answer.status, { ...own, Date: new Date().toUTCString() }).end(content);
  });
  return { url, asked, files };
}

/** What an application gives to a library that calls for tokens: a request for each, or, where the order is for it, our own module. */
export function tokenSource({ app, path, module }) {
  const url = app.url + path;
  return module ? new ChatSession({ url, method: "GET" }).tokenProvider() : async () => (await (await fetch(url)).json()).token;
}

/** A judge of one client: `act` gets the order and the application, and gives what it saw. The clock begins at `time`. */
export function client(act) {
  judge(async ({ sidemint, user, clock: address, time, ...order }) => {
    clock = address;
    milliseconds = time * 1000;
    const app = await application(sidemint, user);
    const late = new Promise((_, reject) => {
      real.setTimeout(() => reject(new Error(`not in time; asked so far: ${JSON.stringify(app.asked)}`)), PATIENCE);
    });
    const seen = await Promise.race([act({ ...order, app }), late]);
    return { ...seen, asked: app.asked };
  });
}

// What the tests act in: a clock that stands still until it is moved, a service that answers what it is told, and tabs of one browser.

import { ChatSession } from "../chat-session.js";

export const NOW = Date.parse("2026-05-04T18:40:00Z");

/** Lets promises go as far as they can; nothing here takes time. */
export async function settle() {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Stage {
  now = NOW;
  /** How far the clock of the service is ahead, in milliseconds. */
  serviceAhead = 0;
  asked = [];
  answers = [];
  #timers = new Map();
  #next = 1;
  #channels = new Set();
  #locks = [];
  #waiting = [];
  #minted = 0;

  /** A tab; its `events` are those of its window. `without` names parts that its browser lacks. */
  tab(options = {}, { without = [], random = () => 0 } = {}) {
    const stage = this;
    const events = new EventTarget();
    const environment = {
      events,
      random,
      now: () => this.now,
      setTimeout: (act, milliseconds) => {
        this.#timers.set(this.#next, { due: this.now + milliseconds, act });
        return this.#next++;
      },
      clearTimeout: (timer) => this.#timers.delete(timer),
      fetch: (url, request) => this.#fetch(url, request),
      locks: { request: (...given) => this.#request(...given), query: async () => ({ held: this.#locks.map(({ name }) => ({ name })) }) },
      BroadcastChannel: class {
        constructor(name) {
          this.name = name;
          stage.#channels.add(this);
        }

        postMessage(data) {
          for (const other of stage.#channels) {
            if (other === this || other.name !== this.name) continue;
            const own = structuredClone(data);
            setImmediate(() => stage.#channels.has(other) && other.onmessage({ data: own }));
          }
        }

        close() {
          stage.#channels.delete(this);
        }
      },
    };
    for (const part of without) environment[part] = undefined;
    const chat = new ChatSession(options, environment);
    return Object.assign(chat, { events, environment });
  }

  /** The answer to the next request that has none yet; without one, a session of an hour. */
  answer(...answers) {
    this.answers.push(...answers);
  }

  async #fetch(url, request) {
    this.asked.push({ url, ...request, at: this.now });
    const { status = 200, headers = {}, body, hangs, fails } = this.answers.shift() ?? (request.method === "DELETE" ? { status: 204 } : {});
    if (fails) throw new TypeError("secret-of-the-network");
    if (hangs) await new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(new DOMException("x", "AbortError"))));
    const content = body ?? (status === 200 ? this.session() : { error: "no", code: "provider_unavailable", requestId: "9f3a5c0d7e21b846" });
    const date = new Date(this.now + this.serviceAhead).toUTCString();
    const text = typeof content === "string" ? content : JSON.stringify(content);
    return new Response(status === 204 ? null : text, { status, headers: { Date: date, ...headers } });
  }

  /** What the service mints, for so many seconds. */
  session(seconds = 3600, user = "alice") {
    this.#minted += 1;
    const expiresAt = new Date(this.now + this.serviceAhead + seconds * 1000).toISOString();
    return { token: `token-${this.#minted}`, expiresAt, apiUrl: "https://chat.example/v1", chatUserId: user, displayName: "Alice" };
  }

  async #request(name, { mode = "exclusive", signal } = {}, act) {
    const wanted = { name, mode };
    const isFree = () => !this.#locks.some((own) => own.name === name && (own.mode === "exclusive" || mode === "exclusive"));
    while (!isFree()) {
      await new Promise((resolve, reject) => {
        this.#waiting.push(resolve);
        signal?.addEventListener("abort", () => reject(new DOMException("x", "AbortError")));
      });
    }
    this.#locks.push(wanted);
    try {
      return await act();
    } finally {
      this.#locks.splice(this.#locks.indexOf(wanted), 1);
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }

  /** So many seconds pass; timers that are due ring, each at its time. */
  async pass(seconds) {
    await settle();
    const end = this.now + seconds * 1000;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.due <= end).sort(([, a], [, b]) => a.due - b.due)[0];
      if (!due) break;
      const [id, timer] = due;
      this.#timers.delete(id);
      this.now = Math.max(this.now, timer.due);
      timer.act();
      await settle();
    }
    this.now = end;
    await settle();
  }

  /** The machine sleeps: time passes and no timer rings. */
  sleep(seconds) {
    this.now += seconds * 1000;
  }

  /** Channels that are open: none of a page that is closed. */
  get channels() {
    return this.#channels.size;
  }

  get timers() {
    return this.#timers.size;
  }
}

// A chat session of sidemint in a page: fetched once, shared between tabs, renewed before it ends, and forgotten at sign-out.
//
// The token is in memory alone: in no storage, no address, no message of an error, and nothing here writes to the console.

const SECOND = 1000;
// A session is replaced this long before its end, or a quarter of its life where that is shorter.
const MARGIN = 60 * SECOND;
// The service may hand out the same session again until shortly before its end: it is not asked more often than this.
const LEAST_PAUSE = 5 * SECOND;
const LONGEST_BACKOFF = 60 * SECOND;
// An advice beyond this is a mistake, or not for a page that people look at.
const LONGEST_ADVICE = 3600 * SECOND;
const FETCH_TIMEOUT = 15 * SECOND;
const SIGN_OUT_TIMEOUT = 5 * SECOND;
// Another tab that has the session answers at once. One that the browser has frozen does not.
const ANSWER_OF_TABS = SECOND / 5;
// Timers cannot be longer than 24.8 days.
const LONGEST_TIMER = 86_400 * SECOND;

/** Why there is no session. Never holds a token. */
export class SessionError extends Error {
  constructor(code, { status = 0, requestId = null } = {}) {
    super(`no chat session: ${code}${status ? `, status ${status}` : ""}${requestId ? `, request ${requestId}` : ""}`);
    this.name = "SessionError";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    // Whether the same request may succeed later. What is refused is refused again.
    this.retryable = status === 0 ? code === "unreachable" : status < 300 || status === 429 || status >= 500;
  }
}

/** What a page does with its chat session. One for each page; see README.md. */
export class ChatSession {
  #url;
  #method;
  #headers;
  #body;
  #credentials;
  #login;
  #margin;
  #env;
  #name;

  #session = null;
  // Times are those of this machine, in milliseconds: an end by the clock of the service is corrected when it comes.
  #end = -Infinity;
  #renewAt = Infinity;
  #notBefore = -Infinity;
  // Whose session this page had last, also when that has ended.
  #user = null;
  #failures = 0;
  #error = null;
  #phase = "idle";
  #state;
  #over = null;
  #flight = null;
  #abort = null;
  #timer;
  #listeners = new Set();
  #channel = null;
  #leave = null;
  #answered = null;

  constructor(options = {}, environment = {}) {
    const { url = "/api/chat/session", method = "POST", headers, body, credentials = "same-origin", login, margin = MARGIN / SECOND } = options;
    this.#url = String(url);
    this.#method = method;
    this.#headers = headers;
    this.#body = body;
    this.#credentials = credentials;
    this.#login = login;
    this.#margin = margin * SECOND;
    this.#env = { ...defaults(), ...environment };
    // Tabs with another login, or that ask for something else, are on another channel.
    this.#name = ["sidemint", this.#url, login ?? "", body ? JSON.stringify(body) : ""].join(" ");
    this.#remember();
    this.#join();
    for (const [event, act] of this.#events()) this.#env.events?.addEventListener(event, act);
  }

  /** A frozen picture: `phase`, `session`, `error`, `nextAttempt`. The same object until something changes. */
  get state() {
    return this.#state;
  }

  /** Calls `listener` with each new state. Gives what ends that. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The session: the one at hand while it is good, else a new one. With `other`, one whose token is another than this, where the service has
   * one. Where the service cannot be reached, what is still good. Else rejects with a SessionError.
   */
  async get({ other } = {}) {
    if (this.#over) throw new SessionError(this.#over);
    if (this.#isGood(other)) return this.#session;
    try {
      return await this.#renew(other);
    } catch (error) {
      if (error.retryable && this.#held()) return this.#session;
      throw error;
    }
  }

  /** A function for a client library that calls for a token when it needs one. A library that calls again wants another one. */
  tokenProvider() {
    let last;
    return async () => (last = (await this.get({ other: last })).token);
  }

  /** Forgets the session in this tab and the others, and at the service. Gives whether the service has answered that it did. */
  async signOut() {
    if (this.#over) return false;
    this.#post({ kind: "signed-out", user: this.#user });
    this.#finish("signed_out");
    const { signal, done } = this.#deadline(SIGN_OUT_TIMEOUT);
    try {
      const headers = await this.#requestHeaders(false);
      // keepalive: the page may leave at once.
      const request = { method: "DELETE", headers, credentials: this.#credentials, redirect: "error", keepalive: true, signal };
      return (await this.#env.fetch(this.#url, request)).ok;
    } catch {
      return false;
    } finally {
      done();
    }
  }

  /** Forgets the session in this tab, and stops. Other tabs and the service keep it. */
  close() {
    if (!this.#over) this.#finish("closed");
  }

  // --- Asking ------------------------------------------------------------------------------------------------------------

  /** One request at a time, whatever asks for it. */
  #renew(other) {
    if (this.#now() < this.#notBefore) return Promise.reject(this.#error);
    this.#flight ??= this.#inTurn(other).finally(() => {
      this.#flight = null;
      this.#schedule();
    });
    return this.#flight;
  }

  /** One tab at a time: the others take over what it got. */
  async #inTurn(other) {
    const { locks } = this.#env;
    if (!locks || !this.#channel) return this.#ask();
    const { signal, done } = this.#deadline(FETCH_TIMEOUT);
    let isOurTurn = false;
    const turn = async () => {
      isOurTurn = true;
      done();
      return (await this.#fromOtherTab(other)) ?? this.#ask();
    };
    try {
      return await locks.request(this.#name, { signal }, turn);
    } catch (error) {
      if (isOurTurn) throw error;
      // There are no locks for this page, or the tab whose turn it is does not come to an end.
      return this.#ask();
    } finally {
      done();
    }
  }

  async #fromOtherTab(other) {
    // Who is signed in may have changed since another tab asked. Without a login, the first session comes from the service.
    if (this.#login === undefined && this.#user === null) return null;
    if (this.#isGood(other)) return this.#session;
    const { held = [] } = await this.#env.locks.query();
    let missing = held.filter(({ name }) => name === this.#presence()).length - 1;
    if (missing < 1) return null;
    let timer;
    await new Promise((resolve) => {
      timer = this.#env.setTimeout(resolve, ANSWER_OF_TABS);
      this.#answered = () => {
        missing -= 1;
        if (this.#isGood(other) || missing === 0) resolve();
      };
      this.#post({ kind: "ask" });
    });
    this.#env.clearTimeout(timer);
    this.#answered = null;
    return this.#isGood(other) ? this.#session : null;
  }

  async #ask() {
    if (this.#over) throw new SessionError(this.#over);
    const { signal, done, abort } = this.#deadline(FETCH_TIMEOUT);
    this.#abort = abort;
    let answer;
    let body;
    try {
      const headers = await this.#requestHeaders(this.#body !== undefined);
      const request = { method: this.#method, headers, credentials: this.#credentials, cache: "no-store", redirect: "error", signal };
      if (this.#body !== undefined) request.body = JSON.stringify(this.#body);
      answer = await this.#env.fetch(this.#url, request);
      body = parsed(await answer.text());
    } catch {
      // No answer at all, or half of one. The reason may hold anything, and is not handed on.
      answer = null;
    } finally {
      done();
      this.#abort = null;
    }
    if (this.#over) throw new SessionError(this.#over);
    if (answer?.ok && isSession(body)) {
      this.#take(body, this.#localEnd(body, answer), true);
      return body;
    }
    throw this.#failed(answer, body);
  }

  async #requestHeaders(hasBody) {
    const own = typeof this.#headers === "function" ? await this.#headers() : this.#headers;
    // Without `Accept` some logins answer with their sign-in page.
    return { Accept: "application/json", ...(hasBody && { "Content-Type": "application/json" }), ...own };
  }

  /** The clocks of people's machines are wrong; what counts is how long the service says the session is good. */
  #localEnd({ expiresAt }, answer) {
    if (expiresAt === null) return Infinity;
    const service = Date.parse(answer.headers.get("Date") ?? "");
    const ahead = Number.isNaN(service) ? 0 : this.#now() - service;
    return Date.parse(expiresAt) + ahead;
  }

  #take(session, end, isOwn) {
    const now = this.#now();
    this.#session = Object.freeze(session);
    this.#end = end;
    this.#user = session.chatUserId;
    const margin = Math.min(this.#margin, (end - now) / 4);
    // Not all pages at the same moment; and none before the margin, when the service would hand out the same session again.
    this.#renewAt = Math.max(end - margin * (1 - this.#env.random() / 4), now + LEAST_PAUSE);
    this.#notBefore = -Infinity;
    this.#failures = 0;
    this.#error = null;
    if (isOwn) this.#post({ kind: "session", session, end });
    this.#become("ready");
  }

  #failed(answer, body) {
    const error = errorOf(answer, body);
    this.#error = error;
    if (!error.retryable) {
      this.#forget();
      this.#renewAt = Infinity;
      this.#become(error.status === 401 ? "unauthorized" : "refused");
      return error;
    }
    const backoff = Math.min(2 ** this.#failures * SECOND, LONGEST_BACKOFF);
    const advice = answer && adviceOf(answer, this.#now());
    this.#failures += 1;
    const { random } = this.#env;
    const pause = advice === null ? backoff * (0.5 + random()) : Math.max(advice, SECOND) * (1 + random() / 4);
    this.#notBefore = this.#renewAt = this.#now() + pause;
    this.#become("waiting");
    return error;
  }

  // --- Time --------------------------------------------------------------------------------------------------------------

  #now() {
    return this.#env.now();
  }

  #held() {
    return this.#session && this.#now() < this.#end ? this.#session : null;
  }

  /** Whether the session at hand will do, for one who wants another token than this. */
  #isGood(other) {
    return this.#held() !== null && this.#session.token !== other && this.#now() < this.#renewAt;
  }

  /** Sets the one timer: for the next request, or for the end of the session. */
  #schedule() {
    this.#env.clearTimeout(this.#timer);
    if (this.#over) return;
    const next = Math.min(this.#flight ? Infinity : this.#renewAt, this.#session ? this.#end : Infinity);
    if (next === Infinity) return;
    this.#timer = this.#env.setTimeout(() => this.#tick(), Math.min(Math.max(next - this.#now(), 0), LONGEST_TIMER));
  }

  /** Timers of hidden tabs and of machines that slept ring late: what counts is the time of day. */
  #tick() {
    if (this.#over) return;
    if (this.#session && !this.#held()) {
      this.#forget();
      this.#become(this.#phase === "ready" ? "idle" : this.#phase);
    }
    if (this.#now() >= this.#renewAt) this.#renew(this.#session?.token).catch(() => {});
    this.#schedule();
  }

  /** A bound for what is waited for. */
  #deadline(milliseconds) {
    const controller = new AbortController();
    const timer = this.#env.setTimeout(() => controller.abort(), milliseconds);
    return { signal: controller.signal, abort: () => controller.abort(), done: () => this.#env.clearTimeout(timer) };
  }

  // --- State -------------------------------------------------------------------------------------------------------------

  #become(phase) {
    this.#phase = phase;
    this.#remember();
    this.#schedule();
    for (const listener of this.#listeners) {
      try {
        listener(this.#state);
      } catch (error) {
        // A fault of the page's own, for the page's own handler; the session goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #remember() {
    const nextAttempt = this.#phase === "waiting" ? this.#renewAt : null;
    this.#state = Object.freeze({ phase: this.#phase, session: this.#session, error: this.#error, nextAttempt });
  }

  #forget() {
    this.#session = null;
    this.#end = -Infinity;
  }

  #finish(why) {
    this.#over = why;
    this.#abort?.();
    this.#forget();
    this.#error = null;
    for (const [event, act] of this.#events()) this.#env.events?.removeEventListener(event, act);
    this.#quit();
    this.#become(why === "signed_out" ? "signed-out" : "closed");
  }

  // --- Other tabs --------------------------------------------------------------------------------------------------------

  #presence() {
    return `${this.#name} open`;
  }

  #join() {
    const { BroadcastChannel, locks } = this.#env;
    if (!BroadcastChannel) return;
    this.#channel = new BroadcastChannel(this.#name);
    // In Node a channel would keep the process alive.
    this.#channel.unref?.();
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    // Held while this page is open: so that others know whether an answer is to be expected.
    const open = new Promise((leave) => (this.#leave = leave));
    locks?.request(this.#presence(), { mode: "shared" }, () => open).catch(() => {});
  }

  #quit() {
    this.#channel?.close();
    this.#channel = null;
    this.#leave?.();
  }

  #post(message) {
    this.#channel?.postMessage(message);
  }

  #hear(message) {
    if (this.#over) return;
    if (message?.kind === "ask") {
      this.#post(this.#isGood() ? { kind: "session", session: this.#session, end: this.#end } : { kind: "none" });
    } else if (message?.kind === "none") {
      this.#answered?.();
    } else if (message?.kind === "signed-out") {
      // Of another user, it is another login's.
      if (this.#user === null || message.user === null || this.#user === message.user) this.#finish("signed_out");
    } else if (message?.kind === "session" && isSession(message.session) && typeof message.end === "number") {
      const isOurs = this.#user === null ? this.#login !== undefined : this.#user === message.session.chatUserId;
      if (isOurs && message.end > Math.max(this.#end, this.#now())) this.#take(message.session, message.end, false);
      this.#answered?.();
    }
  }

  #listening;

  #events() {
    this.#listening ??= Object.entries({
      visibilitychange: () => this.#tick(),
      online: () => this.#tick(),
      // A page that the browser keeps for its back button keeps no token.
      pagehide: () => {
        this.#quit();
        this.#abort?.();
        if (!this.#session) return;
        this.#forget();
        this.#renewAt = this.#now();
        this.#become("idle");
        this.#env.clearTimeout(this.#timer);
      },
      pageshow: ({ persisted }) => {
        if (!persisted) return;
        this.#join();
        this.#tick();
      },
    });
    return this.#listening;
  }
}

/** The browser's own parts. Each may be replaced, and all but the first four may be missing. */
function defaults() {
  return {
    fetch: (...request) => fetch(...request),
    now: () => Date.now(),
    setTimeout: (act, milliseconds) => setTimeout(act, milliseconds),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
    locks: globalThis.navigator?.locks,
    BroadcastChannel: globalThis.BroadcastChannel,
    // Events of a document reach its window.
    events: typeof window === "undefined" ? undefined : window,
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isSession(value) {
  const hasEnd = value?.expiresAt === null || !Number.isNaN(Date.parse(value?.expiresAt));
  return hasEnd && typeof value.token === "string" && value.token !== "" && typeof value.chatUserId === "string";
}

function errorOf(answer, body) {
  if (!answer) return new SessionError("unreachable");
  const { status } = answer;
  // Only what looks like ours: a proxy may answer with anything.
  const fits = (text, pattern) => typeof text === "string" && pattern.test(text);
  const code = fits(body?.code, /^[a-z_]{1,40}$/) ? body.code : answer.ok ? "answer_invalid" : `status_${status}`;
  const id = answer.headers.get("X-Request-Id") ?? body?.requestId;
  return new SessionError(code, { status, requestId: fits(id, /^[\w-]{1,64}$/) ? id : null });
}

/** Milliseconds of `Retry-After`, or null. */
function adviceOf(answer, now) {
  const text = answer.headers.get("Retry-After") ?? "";
  const date = Date.parse(text);
  const service = Date.parse(answer.headers.get("Date") ?? "");
  const advice = /^\d+$/.test(text) ? Number(text) * SECOND : date - (Number.isNaN(service) ? now : service);
  return Number.isNaN(advice) ? null : Math.min(Math.max(advice, 0), LONGEST_ADVICE);
}

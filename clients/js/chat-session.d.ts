/** What sidemint answers for the user who is signed in. A preset may add members. */
export interface Session {
  readonly token: string;
  /** RFC 3339; null where the token has no end. */
  readonly expiresAt: string | null;
  readonly apiUrl: string;
  readonly chatUserId: string;
  readonly displayName: string;
  readonly [member: string]: unknown;
}

/**
 * - `idle`: nothing was asked for yet, or what there was has ended.
 * - `ready`: there is a session, and it will be replaced before it ends.
 * - `waiting`: the last request failed, and another one follows at `nextAttempt`; a session that is still good stays.
 * - `unauthorized`: the user is not signed in.
 * - `refused`: asking again does not help; `error` says why.
 * - `signed-out`, `closed`: it is over. A page that signs in again makes a new ChatSession.
 */
export type Phase = "idle" | "ready" | "waiting" | "unauthorized" | "refused" | "signed-out" | "closed";

export interface State {
  readonly phase: Phase;
  readonly session: Session | null;
  readonly error: SessionError | null;
  /** In milliseconds since 1970; null unless `waiting`. */
  readonly nextAttempt: number | null;
}

export interface Options {
  /** The session route. Default: `/api/chat/session`. */
  url?: string | URL;
  /** Default: `POST`. */
  method?: "GET" | "POST";
  /** More request headers, such as that of `browser.require_header`; a function is called for each request. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** The inputs of the preset, where it has some; with GET they stand in `url`. */
  body?: Record<string, string>;
  /** As `fetch` has it. Default: `same-origin`. A page of another origin needs `include`. */
  credentials?: RequestCredentials;
  /**
   * What is the same in all tabs of one login and in no others, such as the id of the account. With it, a new tab takes over the session of
   * another tab. Without it, the first session of each tab comes from the service, and tabs share renewals and the sign-out.
   */
  login?: string;
  /** A session is replaced this many seconds before its end, or after three quarters of its life where that comes later. Default: 60. */
  margin?: number;
}

/** The parts of the browser that are used. For tests, and for runtimes that lack one. */
export interface Environment {
  fetch?: typeof fetch;
  /** The time of day in milliseconds. */
  now?: () => number;
  setTimeout?: (act: () => void, milliseconds: number) => unknown;
  clearTimeout?: (timer: never) => void;
  /** From 0 to below 1. */
  random?: () => number;
  locks?: LockManager;
  BroadcastChannel?: typeof BroadcastChannel;
  events?: EventTarget;
}

/** Why there is no session. Never holds a token. */
export class SessionError extends Error {
  constructor(code: string, details?: { status?: number; requestId?: string | null });
  /** The `code` of sidemint's answer (docs/errors.md), or `unreachable`, `answer_invalid`, `status_…`, `signed_out`, `closed`. */
  readonly code: string;
  /** 0 where there was no answer. */
  readonly status: number;
  /** What the operator finds in the log. */
  readonly requestId: string | null;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
}

export class ChatSession {
  constructor(options?: Options, environment?: Environment);
  /** The same object until something changes. */
  readonly state: State;
  /** Calls `listener` with each new state, until the function that is returned is called. */
  subscribe(listener: (state: State) => void): () => void;
  /**
   * The session at hand while it is good, else a new one. With `other`, one with another token than this, where the service has one. Rejects with
   * a SessionError where there is none.
   */
  get(options?: { other?: string }): Promise<Session>;
  /** For a client library that calls for a token when it needs one. */
  tokenProvider(): () => Promise<string>;
  /** Forgets the session in this tab, the others, and at the service. Resolves to whether the service has confirmed it. */
  signOut(): Promise<boolean>;
  /** Forgets the session in this tab, and stops. */
  close(): void;
}

// Asks for a chat session, shows it, and asks again before it ends. What came from a server is written as text, never as
// HTML. The token is in this module and, while shown, on the page: in no address, no storage and no attribute.

const SESSION = "/api/chat/session";
const LOGOUT = `/login/callback?logout=${encodeURIComponent(new URL("/signed-out.html", location).href)}`;
// A new session is asked for when the old one has this much left.
const MARGIN_SECONDS = 60;
const LONGEST_PAUSE_SECONDS = 30;

const part = (id) => document.getElementById(id);
// Only what changes: a selection of the user's stays.
const write = (id, text) => part(id).textContent === text || (part(id).textContent = text);

let session = null;
let revealed = false;
let asking = false;
let leaving = false;
// When to ask next, in milliseconds; never, where that is for the user to decide.
let due = Infinity;
let failures = 0;

async function ask() {
  if (asking || leaving) return;
  asking = true;
  due = Infinity;
  try {
    const signal = AbortSignal.timeout(15_000);
    // Without this some logins answer with their sign-in page.
    const headers = { Accept: "application/json" };
    const answer = await fetch(SESSION, { method: "POST", headers, cache: "no-store", redirect: "error", signal });
    const body = answer.ok ? await answer.json() : undefined;
    if (leaving) return;
    if (body) take(body);
    else refused(answer);
  } catch {
    // No answer at all, or half of one.
    if (!leaving) later(undefined);
  } finally {
    asking = false;
    show();
  }
}

function take(answer) {
  session = answer;
  failures = 0;
  due = Math.max(end() - MARGIN_SECONDS * 1000, Date.now() + 5_000);
  say("Your session is ready.");
}

// When the session ends, in milliseconds; never, where `expiresAt` is null.
function end() {
  return session.expiresAt === null ? Infinity : Date.parse(session.expiresAt);
}

function refused(answer) {
  if (answer.status === 401) {
    forget();
    say("You are not signed in any more.", { trouble: true, signIn: true });
  } else if (answer.status === 429 || answer.status >= 500) {
    later(answer.headers.get("Retry-After"));
  } else {
    forget();
    const request = answer.headers.get("X-Request-Id") ?? "unknown";
    say(`You cannot have a session (${answer.status}, request ${request}).`, { trouble: true });
  }
}

// Chat is down or busy. A session that is still good stays, and we ask again when we are told to, or ever more seldom.
function later(retryAfter) {
  failures += 1;
  const told = /^\d{1,4}$/.test(retryAfter ?? "") ? Number(retryAfter) : 2 ** (failures - 1);
  const seconds = Math.min(Math.max(told, 1), LONGEST_PAUSE_SECONDS);
  // Not all pages at the same moment.
  due = Date.now() + seconds * 1000 * (1 + Math.random() / 4);
  say("Chat is not available just now.", { trouble: true });
}

async function signOut() {
  leaving = true;
  due = Infinity;
  forget();
  say("Signing out …");
  show();
  try {
    await fetch(SESSION, { method: "DELETE", redirect: "error", signal: AbortSignal.timeout(5_000) });
  } catch {
    // Chat is down. The login is left all the same.
  }
  location.assign(LOGOUT);
}

function forget() {
  session = null;
  revealed = false;
}

function say(text, { trouble = false, signIn = false } = {}) {
  write("status", text);
  part("note").classList.toggle("trouble", trouble);
  part("sign-in").hidden = !signIn;
}

function show() {
  const left = session ? Math.floor((end() - Date.now()) / 1000) : 0;
  if (left <= 0) forget();
  part("session").hidden = !session;
  for (const member of ["displayName", "chatUserId", "apiUrl", "expiresAt"]) write(member, session?.[member] ?? "");
  const token = session?.token ?? "";
  write("token", revealed || !token ? token : `${token.slice(0, 12)}…`);
  part("expiresAt").dateTime = session?.expiresAt ?? "";
  write("countdown", session && left < Infinity ? `in ${duration(left)}` : "");
  write("reveal", revealed ? "Hide" : "Show");
  part("reveal").setAttribute("aria-expanded", String(revealed));
  const pause = Math.ceil((due - Date.now()) / 1000);
  write("wait", failures > 0 && pause < Infinity ? `Asking again in ${Math.max(pause, 0)} s.` : "");
}

function duration(seconds) {
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`;
}

part("ask").addEventListener("click", ask);
part("sign-out").addEventListener("click", signOut);
part("reveal").addEventListener("click", () => {
  revealed = !revealed;
  show();
});
// A page that the browser keeps for its back button keeps no token.
addEventListener("pagehide", () => {
  forget();
  show();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
setInterval(() => (Date.now() >= due ? ask() : show()), 1000);
say("Asking for a session …");
ask();

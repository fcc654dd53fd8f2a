// Shows the chat session of the user who is signed in. When to ask, when to ask again and what tabs share is the module's matter
// (clients/js); what it says is written as text, never as HTML. The token is, while shown, on the page: in no address, no storage and no
// attribute.

import { ChatSession } from "./chat-session.js";

const LOGOUT = `/login/callback?logout=${encodeURIComponent(new URL("/signed-out.html", location).href)}`;

const part = (id) => document.getElementById(id);
// Only what changes: a selection of the user's stays.
const write = (id, text) => part(id).textContent === text || (part(id).textContent = text);

const chat = new ChatSession();
let revealed = false;

const WORDS = {
  idle: () => "Asking for a session …",
  ready: () => "Your session is ready.",
  waiting: () => "Chat is not available just now.",
  unauthorized: () => "You are not signed in any more.",
  refused: ({ error }) => `You cannot have a session (${error.status}, request ${error.requestId ?? "unknown"}).`,
  "signed-out": () => "Signing out …",
};

function show() {
  const { phase, session, nextAttempt } = chat.state;
  write("status", WORDS[phase]?.(chat.state) ?? "");
  part("note").classList.toggle("trouble", ["waiting", "unauthorized", "refused"].includes(phase));
  part("sign-in").hidden = phase !== "unauthorized";
  const pause = nextAttempt && Math.ceil((nextAttempt - Date.now()) / 1000);
  write("wait", pause === null ? "" : `Asking again in ${Math.max(pause, 0)} s.`);
  if (!session) revealed = false;
  part("session").hidden = !session;
  for (const member of ["displayName", "chatUserId", "apiUrl", "expiresAt"]) write(member, session?.[member] ?? "");
  const token = session?.token ?? "";
  write("token", revealed || !token ? token : `${token.slice(0, 12)}…`);
  part("expiresAt").dateTime = session?.expiresAt ?? "";
  write("countdown", session?.expiresAt ? `in ${duration(Math.floor((Date.parse(session.expiresAt) - Date.now()) / 1000))}` : "");
  write("reveal", revealed ? "Hide" : "Show");
  part("reveal").setAttribute("aria-expanded", String(revealed));
}

function duration(seconds) {
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`;
}

// What went wrong is in the state. With `other` the service is asked, also while the session at hand is good.
const ask = () => chat.get({ other: chat.state.session?.token }).catch(() => {});

part("ask").addEventListener("click", ask);
let leaving = false;
chat.subscribe(({ phase }) => {
  show();
  // Another tab has signed out, and leaves the login.
  if (phase === "signed-out" && !leaving) location.assign("/signed-out.html");
});
part("sign-out").addEventListener("click", async () => {
  leaving = true;
  await chat.signOut();
  location.assign(LOGOUT);
});
part("reveal").addEventListener("click", () => {
  revealed = !revealed;
  show();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
setInterval(show, 1000);
show();
ask();

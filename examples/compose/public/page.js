// What the module gives, as text; of the token only the beginning.
import { ChatSession } from "./chat-session.js";

const chat = new ChatSession();
const write = (id, text) => (document.getElementById(id).textContent = text);

chat.subscribe(({ phase, session }) => {
  write("status", session ? `Ready until ${session.expiresAt}.` : phase);
  write("answer", session ? `${session.displayName} (${session.chatUserId}) at ${session.apiUrl}: ${session.token.slice(0, 12)}…` : "");
});
document.getElementById("sign-out").addEventListener("click", () => chat.signOut());
// What goes wrong is in the state.
chat.get().catch(() => {});

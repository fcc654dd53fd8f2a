// What a page writes, with types. Compiled, never run.

import { ChatSession, SessionError, type Session, type State } from "@sidemint/chat-session";

const chat = new ChatSession({ login: "7", margin: 300, headers: async () => ({ "X-Chat-Session": "1" }) });
const leave: () => void = chat.subscribe(({ phase, session, nextAttempt }: State) => {
  if (phase === "waiting") new Date(nextAttempt ?? 0);
  session?.displayName.trim();
});

export async function connect(): Promise<string> {
  const session: Session = await chat.get({ other: "x" });
  const token: () => Promise<string> = chat.tokenProvider();
  try {
    return session.token + (await token());
  } catch (error) {
    if (error instanceof SessionError && !error.retryable) return error.requestId ?? error.code;
    throw error;
  } finally {
    leave();
    const confirmed: boolean = await chat.signOut();
    if (!confirmed) chat.close();
  }
}

// @ts-expect-error: an option that there is not
new ChatSession({ storage: "local" });
// @ts-expect-error: a session cannot be changed
chat.state.session!.token = "x";

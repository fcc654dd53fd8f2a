// Several tabs of one browser.

import assert from "node:assert/strict";
import test from "node:test";

import { Stage, settle } from "./stage.mjs";

const ALICE = { login: "alice" };
const tokens = (...tabs) => tabs.map(({ state }) => state.session?.token ?? null);

test("tabs of one login share one request", async () => {
  const stage = new Stage();
  const [one, two, three] = [stage.tab(ALICE), stage.tab(ALICE), stage.tab(ALICE)];
  const [first, second] = await Promise.all([one.get(), two.get()]);
  assert.equal(first.token, second.token);
  assert.equal((await three.get()).token, "token-1", "also one that comes later");
  assert.equal(stage.asked.length, 1);
  await stage.pass(3540);
  assert.deepEqual([tokens(one, two, three), stage.asked.length], [["token-2", "token-2", "token-2"], 2]);
});

test("a tab alone does not wait for others", async () => {
  const stage = new Stage();
  const chat = stage.tab(ALICE);
  chat.events.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  await chat.get();
  assert.deepEqual([stage.asked.length, stage.channels], [1, 1], "without time passing");
});

test("without a login the first session of a tab is its own, and renewals are shared", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(), stage.tab()];
  await one.get();
  await two.get();
  assert.equal(stage.asked.length, 2);
  await stage.pass(3540);
  assert.equal(stage.asked.length, 3);
  assert.deepEqual(tokens(one, two), ["token-3", "token-3"]);
});

test("the session of another user is never taken over", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(), stage.tab()];
  await one.get();
  stage.answer({ body: stage.session(7200, "bob") });
  assert.equal((await two.get()).chatUserId, "bob");
  await settle();
  assert.equal(one.state.session.chatUserId, "alice");
  const keyed = [stage.tab({ login: "a" }), stage.tab({ login: "b" })];
  stage.answer({ body: stage.session() }, { body: stage.session(3600, "bob") });
  await keyed[0].get();
  assert.equal((await keyed[1].get()).chatUserId, "bob");
});

test("a session that is newer reaches the others at once, and an older one changes nothing", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(), stage.tab()];
  await one.get();
  await two.get();
  await stage.pass(10);
  await one.get({ other: "token-1" });
  await settle();
  assert.deepEqual(tokens(one, two), ["token-3", "token-3"]);
  stage.answer({ body: stage.session(60) });
  await one.get({ other: "token-3" });
  await settle();
  assert.deepEqual(tokens(one, two), ["token-4", "token-3"]);
});

test("tabs that ask for different things share nothing", async () => {
  const stage = new Stage();
  await stage.tab({ ...ALICE, body: { room: "a" } }).get();
  await stage.tab({ ...ALICE, body: { room: "b" } }).get();
  await stage.tab({ ...ALICE, url: "/other" }).get();
  assert.equal(stage.asked.length, 3);
});

test("sign-out in one tab is one in all", async () => {
  const stage = new Stage();
  const [one, two, idle] = [stage.tab(), stage.tab(), stage.tab()];
  await one.get();
  await two.get();
  await one.signOut();
  await settle();
  assert.deepEqual([one, two, idle].map(({ state }) => state.phase), ["signed-out", "signed-out", "signed-out"]);
  assert.deepEqual(stage.asked.filter(({ method }) => method === "DELETE").length, 1);
  await assert.rejects(two.get(), { code: "signed_out" });
});

test("sign-out of another user is not", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(), stage.tab()];
  await one.get();
  stage.answer({ body: stage.session(3600, "bob") });
  await two.get();
  await two.signOut();
  await settle();
  assert.equal(one.state.phase, "ready");
});

test("a tab that is closed leaves the session to the others", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(ALICE), stage.tab(ALICE)];
  await one.get();
  await two.get();
  one.close();
  await settle();
  assert.deepEqual([one.state.phase, two.state.phase, stage.asked.length], ["closed", "ready", 1]);
});

test("a tab that hangs holds no other up", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(ALICE), stage.tab(ALICE)];
  // Its answer never comes, and its own time is up only when the other one's is.
  stage.answer({ hangs: true });
  const stuck = one.get().catch(({ code }) => code);
  await settle();
  const second = two.get();
  await stage.pass(15);
  assert.deepEqual([await stuck, (await second).token], ["unreachable", "token-1"]);
});

test("a lock that is never given back is waited for as long as an answer", async () => {
  const stage = new Stage();
  const chat = stage.tab(ALICE);
  chat.environment.locks.request("sidemint /api/chat/session alice ", {}, () => new Promise(() => {}));
  const session = chat.get();
  await stage.pass(14);
  assert.equal(stage.asked.length, 0);
  await stage.pass(1);
  assert.equal((await session).token, "token-1");
});

test("a tab that is frozen is not waited for", async () => {
  const stage = new Stage();
  const [one, two] = [stage.tab(ALICE), stage.tab(ALICE)];
  await one.get();
  one.environment.now = () => NaN;
  const before = stage.now;
  stage.sleep(3600);
  const session = two.get();
  await stage.pass(0.2);
  assert.equal((await session).token, "token-2");
  assert.equal(stage.now - before, 3600_200);
});

test("without locks or channels each tab is on its own", async () => {
  {
    const stage = new Stage();
    const chat = stage.tab({}, { without: ["locks"] });
    assert.equal(await chat.get(), await chat.get());
    await Promise.all([chat.get({ other: "token-1" }), chat.get({ other: "token-1" })]);
    assert.equal(stage.asked.length, 2, "one request at a time all the same");
  }
  for (const without of [["locks"], ["BroadcastChannel"], ["locks", "BroadcastChannel", "events"]]) {
    const stage = new Stage();
    const [one, two] = [stage.tab(ALICE, { without }), stage.tab(ALICE, { without })];
    await Promise.all([one.get(), two.get()]);
    assert.equal(stage.asked.length, 2, without.join());
    await one.signOut();
    await settle();
    assert.equal(two.state.phase, without.includes("BroadcastChannel") ? "ready" : "signed-out");
  }
});

test("locks that a page may not have are done without", async () => {
  const stage = new Stage();
  const chat = stage.tab(ALICE);
  const own = chat.environment.locks;
  const denied = { ...chat.environment, locks: { ...own, request: async () => Promise.reject(new DOMException("x", "SecurityError")) } };
  const { ChatSession } = await import("../chat-session.js");
  assert.equal((await new ChatSession(ALICE, denied).get()).token, "token-1");
});

test("what is no message of ours is ignored", async () => {
  const stage = new Stage();
  const chat = stage.tab(ALICE);
  await chat.get();
  const other = new chat.environment.BroadcastChannel("sidemint /api/chat/session alice ");
  const end = stage.now + 9e9;
  for (const message of [null, 1, {}, { kind: "session" }, { kind: "session", end, session: { token: 1, expiresAt: null, chatUserId: "alice" } }, { kind: "session", end: String(end), session: stage.session() }]) {
    other.postMessage(message);
  }
  await settle();
  assert.deepEqual(tokens(chat), ["token-1"]);
});

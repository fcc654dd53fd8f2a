// One page, and time in hand.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { ChatSession, SessionError } from "../chat-session.js";
import { NOW, Stage, settle } from "./stage.mjs";

const refused = (status, code, headers = {}) => ({ status, headers, body: { error: "no", code, requestId: "9f3a5c0d7e21b846" } });

test("a session is fetched once, and given again while it is good", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  const [first, second] = await Promise.all([chat.get(), chat.get()]);
  assert.equal(first, second);
  assert.equal(await chat.get(), first);
  assert.deepEqual(Object.keys(first), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"]);
  const [{ url, method, headers, credentials, cache, redirect, body }] = stage.asked;
  assert.deepEqual([stage.asked.length, url, method, body], [1, "/api/chat/session", "POST", undefined]);
  assert.deepEqual([headers, credentials, cache, redirect], [{ Accept: "application/json" }, "same-origin", "no-store", "error"]);
  assert.throws(() => (first.token = "x"), TypeError);
});

test("nothing is asked for before the page wants a session", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  await stage.pass(100_000);
  assert.deepEqual([stage.asked.length, chat.state.phase], [0, "idle"]);
});

test("it is renewed a minute before its end, and the page hears of it", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  const heard = [];
  chat.subscribe(({ phase, session }) => heard.push([phase, session.token]));
  await chat.get();
  await stage.pass(3539);
  assert.equal(stage.asked.length, 1);
  await stage.pass(1);
  assert.deepEqual(heard, [["ready", "token-1"], ["ready", "token-2"]]);
  assert.equal(stage.asked[1].at, NOW + 3540_000);
});

test("pages do not renew at the same moment", async () => {
  const stage = new Stage();
  await stage.tab({}, { random: () => 0.99, without: ["BroadcastChannel"] }).get();
  await stage.pass(3540);
  assert.equal(stage.asked.length, 1);
  await stage.pass(15);
  assert.equal(stage.asked.length, 2);
});

test("a short life is renewed after three quarters, and never more often than each five seconds", async () => {
  const stage = new Stage();
  stage.answer({ body: stage.session(40) });
  await stage.tab().get();
  await stage.pass(29);
  assert.equal(stage.asked.length, 1);
  stage.answer({ body: stage.session(1) });
  await stage.pass(1);
  assert.equal(stage.asked.length, 2);
  await stage.pass(4);
  assert.equal(stage.asked.length, 2);
  await stage.pass(1);
  assert.equal(stage.asked.length, 3);
});

test("a token without an end is never replaced", async () => {
  const stage = new Stage();
  stage.answer({ body: { ...stage.session(), expiresAt: null } });
  const chat = stage.tab();
  const session = await chat.get();
  await stage.pass(1_000_000);
  assert.equal(await chat.get(), session);
  assert.equal(stage.asked.length, 1);
});

for (const ahead of [-7200, 7200]) {
  test(`a clock that is ${ahead} s off does no harm`, async () => {
    const stage = new Stage();
    stage.serviceAhead = ahead * 1000;
    const chat = stage.tab();
    await chat.get();
    await stage.pass(3539);
    assert.deepEqual([stage.asked.length, chat.state.phase], [1, "ready"]);
    await stage.pass(1);
    assert.equal(stage.asked.length, 2);
  });
}

test("a machine that slept asks when it wakes, and hands out nothing that has ended", async () => {
  for (const wakes of ["visibilitychange", "online"]) {
    const stage = new Stage();
    const chat = stage.tab();
    await chat.get();
    stage.sleep(9000);
    chat.events.dispatchEvent(new Event(wakes));
    assert.equal(chat.state.session, null);
    await settle();
    assert.equal(chat.state.session.token, "token-2");
  }
  for (const slept of [3550, 9000]) {
    const stage = new Stage();
    const chat = stage.tab();
    await chat.get();
    stage.sleep(slept);
    assert.equal((await chat.get()).token, "token-2");
  }
});

test("Retry-After is heeded, in seconds and as a date, and what is good stays", async () => {
  for (const advice of ["20", new Date(NOW + 3560_000).toUTCString()]) {
    const stage = new Stage();
    const chat = stage.tab();
    const session = await chat.get();
    stage.answer(refused(503, "provider_unavailable", { "Retry-After": advice }));
    await stage.pass(3540);
    const { phase, error, nextAttempt } = chat.state;
    assert.deepEqual([phase, error.status, error.code, nextAttempt], ["waiting", 503, "provider_unavailable", NOW + 3560_000]);
    assert.equal(await chat.get(), session, "it is still good");
    await stage.pass(19);
    assert.equal(stage.asked.length, 2, "nothing is asked before");
    await stage.pass(1);
    assert.deepEqual([stage.asked.length, chat.state.phase, chat.state.session.token], [3, "ready", "token-2"]);
  }
});

test("without a session a failure is told at once, and not asked again before its time", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  stage.answer(refused(429, "rate_limited", { "Retry-After": "30" }));
  await assert.rejects(chat.get(), { name: "SessionError", code: "rate_limited", status: 429, retryable: true, requestId: "9f3a5c0d7e21b846" });
  await assert.rejects(chat.get(), { code: "rate_limited" });
  assert.equal(stage.asked.length, 1);
  await stage.pass(30);
  assert.equal(chat.state.session.token, "token-1");
});

test("an outage is asked about ever more seldom, with pauses that differ", async () => {
  const at = async (random) => {
    const stage = new Stage();
    stage.answer(...Array(9).fill({ fails: true }));
    await assert.rejects(stage.tab({}, { random: () => random }).get(), { code: "unreachable", status: 0 });
    await stage.pass(400);
    return stage.asked.map((request) => (request.at - NOW) / 1000);
  };
  assert.deepEqual(await at(0.5), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
  assert.deepEqual((await at(0)).slice(0, 5), [0, 0.5, 1.5, 3.5, 7.5]);
});

test("the end of a session during an outage is the end", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  await chat.get();
  stage.answer(...Array(20).fill({ status: 502, body: "<h1>Bad Gateway</h1>" }));
  await stage.pass(3600);
  assert.deepEqual([chat.state.phase, chat.state.session, chat.state.error.code], ["waiting", null, "status_502"]);
  await assert.rejects(chat.get(), { code: "status_502" });
});

test("a service that does not answer is given fifteen seconds", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  stage.answer({ hangs: true });
  const asked = chat.get();
  const outcome = assert.rejects(asked, { code: "unreachable" });
  await stage.pass(15);
  await outcome;
});

test("an answer that is no session is an outage: a sign-in page, half a document, a token that is none", async () => {
  for (const body of ["<html>sign in</html>", '{"token":"x', "{}", '{"token":"","expiresAt":null}', '{"token":"x","expiresAt":"soon","chatUserId":"a"}', "null"]) {
    const stage = new Stage();
    stage.answer({ body });
    await assert.rejects(stage.tab().get(), { code: "answer_invalid", retryable: true }, body);
  }
});

test("what is refused is not asked again by itself, and the session is gone", async () => {
  for (const [status, code, phase] of [[401, "unauthorized", "unauthorized"], [403, "user_denied", "refused"], [422, "user_id_invalid", "refused"]]) {
    const stage = new Stage();
    const chat = stage.tab();
    await chat.get();
    stage.answer(refused(status, code));
    await stage.pass(3540);
    assert.deepEqual([chat.state.phase, chat.state.session, chat.state.error.code], [phase, null, code]);
    await stage.pass(100_000);
    assert.equal(stage.asked.length, 2);
    assert.equal((await chat.get()).token, "token-2", "the page may ask, after a sign-in elsewhere");
  }
});

test("a library that asks again gets another token, and the old one where there is no other", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  const [token, other] = [chat.tokenProvider(), chat.tokenProvider()];
  assert.deepEqual([await token(), await other()], ["token-1", "token-1"]);
  assert.deepEqual([await token(), await other()], ["token-2", "token-2"]);
  assert.equal(stage.asked.length, 2);
  stage.answer({ fails: true });
  assert.equal(await token(), "token-2", "it is still good");
});

test("sign-out forgets, tells the service, and ends what is under way", async () => {
  const stage = new Stage();
  const chat = stage.tab({ headers: async () => ({ "X-Chat-Session": "1" }) });
  await chat.get();
  stage.answer({ hangs: true }, { status: 204 });
  const late = assert.rejects(chat.get({ other: "token-1" }), { code: "signed_out", retryable: false });
  await settle();
  assert.equal(await chat.signOut(), true);
  await late;
  const { method, keepalive, headers } = stage.asked.at(-1);
  assert.deepEqual([method, keepalive, headers["X-Chat-Session"]], ["DELETE", true, "1"]);
  assert.deepEqual([chat.state.phase, chat.state.session], ["signed-out", null]);
  await assert.rejects(chat.get(), { code: "signed_out" });
  await stage.pass(100_000);
  assert.deepEqual([stage.asked.length, stage.timers], [3, 0]);
});

test("a sign-out that the service does not answer is one for the page all the same", async () => {
  for (const answer of [{ fails: true }, { status: 503 }]) {
    const stage = new Stage();
    const chat = stage.tab();
    await chat.get();
    stage.answer(answer);
    assert.equal(await chat.signOut(), false);
    assert.equal(chat.state.phase, "signed-out");
  }
});

test("a page that is kept for the back button keeps no token, and asks when it comes back", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  await chat.get();
  chat.events.dispatchEvent(new Event("pagehide"));
  assert.deepEqual([chat.state.session, stage.timers], [null, 0]);
  await settle();
  chat.events.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await settle();
  assert.equal(chat.state.session.token, "token-2");
  chat.close();
  chat.events.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await stage.pass(100_000);
  assert.deepEqual([stage.asked.length, chat.state.phase, stage.channels], [2, "closed", 0]);
});

test("inputs are the body of the request", async () => {
  const stage = new Stage();
  await stage.tab({ url: "/rooms", body: { room: "lobby" } }).get();
  const [{ url, body, headers }] = stage.asked;
  assert.deepEqual([url, body, headers["Content-Type"]], ["/rooms", '{"room":"lobby"}', "application/json"]);
});

test("no token and no text of others is in an error, on the console or in what can be listed", async (t) => {
  const said = [];
  for (const name of ["log", "info", "warn", "error", "debug"]) t.mock.method(console, name, (...words) => said.push(words));
  const stage = new Stage();
  const chat = stage.tab();
  await chat.get();
  const { inspect } = await import("node:util");
  const shown = inspect(chat, { depth: 9, showHidden: true }) + JSON.stringify({ ...chat, events: 0, environment: 0 });
  assert.doesNotMatch(shown, /token-1/);
  stage.answer({ status: 403, body: '{"code":"<script>","requestId":"a b","error":"token-1"}', headers: { "X-Request-Id": "<b>" } }, { fails: true });
  for (const expected of ["no chat session: status_403, status 403", "no chat session: unreachable"]) {
    const error = await chat.get({ other: "token-1" }).catch((reason) => reason);
    assert.ok(error instanceof SessionError);
    assert.equal(error.message, expected);
    assert.equal(error.cause, undefined);
  }
  assert.deepEqual(said, []);
});

test("the state is one object until something changes, and a listener may leave", async () => {
  const stage = new Stage();
  const chat = stage.tab();
  assert.equal(chat.state, chat.state);
  let calls = 0;
  const leave = chat.subscribe(() => (calls += 1));
  await chat.get();
  const { state } = chat;
  assert.ok(Object.isFrozen(state) && state === chat.state && state.session.token === "token-1");
  leave();
  await stage.pass(4000);
  assert.equal(calls, 1);
});

test("the types name what is there", () => {
  const types = readFileSync(new URL("../chat-session.d.ts", import.meta.url), "utf8");
  for (const [type, exists] of [[ChatSession, Object.getOwnPropertyNames(ChatSession.prototype)], [SessionError, Object.keys(new SessionError("x"))]]) {
    const [, body] = types.split(`export class ${type.name} `)[1].match(/\{\n(.*?)\n\}/s);
    const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map(([, name]) => name);
    const inherited = ["constructor", "name"];
    const own = (names) => names.filter((name) => !inherited.includes(name)).sort();
    assert.deepEqual(own(declared), own(exists));
  }
});

// Our own module in Chromium: two tabs of one browser, before the service, which fails at first. The clock of the pages is that of the stage.

import { readFileSync } from "node:fs";

import { launch } from "../../parts/chromium.mjs";
import { client, later } from "./stage.mjs";

const module = readFileSync(new URL("../../../clients/js/chat-session.js", import.meta.url), "utf8");
const page = `<!doctype html><link rel="icon" href="data:,"><title>chat</title><script type="module" src="/page.js"></script>`;

client(async ({ app, path, ttl }) => {
  app.files["/chat-session.js"] = { type: "text/javascript", content: module };
  app.files["/page.js"] = { type: "text/javascript", content: `export * from "/chat-session.js"; window.ready = true;` };
  app.files["/"] = { type: "text/html", content: page };
  const browser = await launch();
  const context = await browser.newContext();
  await context.clock.install({ time: Date.now() });
  const [complaints, urls] = [[], []];
  const tab = async (login) => {
    const tab = await context.newPage();
    tab.on("console", (message) => complaints.push(message.text()));
    tab.on("pageerror", (error) => complaints.push(String(error)));
    tab.on("request", (request) => urls.push(request.url()));
    await tab.goto(app.url);
    await tab.waitForFunction(() => window.ready);
    await tab.evaluate(
      async ([url, login]) => {
        const { ChatSession } = await import("/chat-session.js");
        window.chat = new ChatSession({ url, login });
      },
      [path, login],
    );
    return tab;
  };
  /** Waits in a tab until it is in this phase; gives its token. */
  const phase = (tab, wanted) =>
    tab.waitForFunction((wanted) => window.chat.state.phase === wanted && { token: window.chat.state.session?.token ?? null }, wanted).then((seen) => seen.jsonValue());
  const get = (tab) => tab.evaluate(() => window.chat.get().then(({ token }) => token, ({ code }) => code));
  const pass = async (seconds) => {
    await later(seconds);
    await context.clock.fastForward(seconds * 1000);
  };
  const count = () => app.asked.length;

  const seen = {};
  const [one, two] = [await tab("alice"), await tab("alice")];
  seen.refused = await get(one);
  seen.wait = await one.evaluate(() => (window.chat.state.nextAttempt - Date.now()) / 1000);
  seen.again = await get(one);
  seen.askedWhileWaiting = count();
  await pass(Math.ceil(seen.wait));
  const { token } = await phase(one, "ready");
  seen.shared = (await get(two)) === token;
  seen.askedForBoth = count();
  await pass(ttl - 60 + 15);
  await one.waitForFunction((token) => window.chat.state.session.token !== token, token);
  const renewed = await get(one);
  seen.renewed = renewed !== token && (await two.waitForFunction((token) => window.chat.state.session.token === token, renewed).then(() => true));
  seen.askedForRenewal = count();
  // At the same moment, where both want another one.
  const both = await Promise.all([one, two].map((own) => own.evaluate((other) => window.chat.get({ other }).then(({ token }) => token), renewed)));
  seen.same = both[0] === both[1];
  seen.kept = await one.evaluate(async () => [{ ...localStorage }, { ...sessionStorage }, document.cookie, (await indexedDB.databases()).length, (await caches.keys()).length]);
  seen.confirmed = await one.evaluate(() => window.chat.signOut());
  seen.signedOut = await Promise.all([one, two].map((own) => phase(own, "signed-out")));
  seen.after = await get(two);
  const tokens = [token, renewed, ...both];
  seen.leaks = [...urls, ...complaints].filter((text) => tokens.some((own) => text.includes(own)));
  seen.complaints = complaints;
  await browser.close();
  return seen;
});

// A browser that takes orders: each is a POST of JSON and names a visitor, who has cookies and a page of their own.
// Answers what it saw, or 500 and why not. Prints the port.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";

import { resolve } from "../judges/judge.mjs";
import { launch } from "./chromium.mjs";

const PATIENCE = 15_000;
const browser = await launch();
const visitors = new Map();

/** A person with a fresh profile. Everything that the page asks for or complains about is kept. */
async function arrive(headers, scripts = true) {
  const context = await browser.newContext({ extraHTTPHeaders: headers, javaScriptEnabled: scripts });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const seen = { urls: [], complaints: [] };
  page.on("request", (request) => seen.urls.push(request.url()));
  // A script changes the address without a request.
  page.on("framenavigated", (frame) => seen.urls.push(frame.url()));
  page.on("pageerror", (error) => seen.complaints.push(`thrown: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      seen.complaints.push(`${message.location().url}: ${message.text()}`);
    }
  });
  return { context, page, seen };
}

const actions = {
  visit: ({ page }, { url }) => page.goto(url).then(() => page.url()),
  click: ({ page }, { on }) => page.click(on),
  // Waits for an element that is shown and has this text in it; gives all of its text.
  async read({ page }, { on, text }) {
    const found = page.locator(on).filter({ hasText: text, visible: true }).first();
    await found.waitFor();
    return found.innerText();
  },
  address: ({ page }) => page.url(),
  // How the person wants to see pages: the scheme of colours, forced colours, the width.
  async look({ page }, { width, ...media }) {
    await page.emulateMedia(media);
    await page.setViewportSize({ width, height: 800 });
  },
  // What axe finds wrong with the page, by rule, and what is wider than the window.
  async audit({ page }) {
    await page.evaluate(await readFile(resolve("axe-core/axe.min.js"), "utf8"));
    const found = await page.evaluate(() => axe.run());
    const wrong = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    return { wrong, wide, checked: found.passes.length };
  },
  // What is reached by the Tab key alone, in order.
  async tab({ page }, { times }) {
    const reached = [];
    for (let n = 0; n < times; n++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement.getAttribute("href") ?? document.activeElement.getAttribute("aria-labelledby")));
    }
    return reached;
  },
  forgetCookies: ({ context }) => context.clearCookies(),
  // What a script of the page could find, and what the network was asked.
  async report({ page, context, seen }) {
    const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    const databases = await page.evaluate(async () => (await indexedDB.databases()).length + (await caches.keys()).length);
    const cookies = (await context.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));
    return { ...seen, stored, databases, cookies };
  },
};

async function carry({ visitor, action, headers, scripts, ...rest }) {
  if (action === "arrive") {
    visitors.set(visitor, await arrive(headers, scripts));
    return null;
  }
  return (await actions[action](visitors.get(visitor), rest)) ?? null;
}

const server = createServer(async (request, reply) => {
  try {
    const value = await carry(await json(request));
    reply.setHeader("Content-Type", "application/json").end(JSON.stringify(value));
  } catch (error) {
    reply.writeHead(500).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`orders on http://127.0.0.1:${server.address().port}`));

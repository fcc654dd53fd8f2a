// The pictures of the documents: starts examples/login-chain, signs alice in, and shows her page and then the status page.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const picture = join(root, "docs/images/login-chain.png");
const state = await mkdtemp(join(tmpdir(), "login-chain-"));
// An address that is not the example's own, so that a running one does no harm.
const [APP, LOGIN, CHAT, OPS] = [8000, 9400, 8080, 9090].map((port) => `127.97.0.1:${port}`);
const PATH = [`${root}target/debug`, `${root}.tools/venv/bin`, process.env.PATH].join(":");
const chain = spawn(join(root, "examples/login-chain/run"), {
  env: { ...process.env, PATH, STATE: state, APP, LOGIN, CHAT, OPS },
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = once(chain, "exit");
try {
  for await (const line of createInterface(chain.stdout)) if (line.startsWith("ready")) break;
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 760, height: 505 }, deviceScaleFactor: 2 });
  await page.goto(`http://${APP}/`);
  await page.click('button:text-is("alice")');
  await page.locator("#status", { hasText: "ready" }).waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: picture });
  await page.setViewportSize({ width: 960, height: 640 });
  await page.goto(`http://${OPS}/`);
  await page.screenshot({ path: join(root, "docs/images/status.png"), fullPage: true });
  await browser.close();
} finally {
  chain.kill();
  await ended;
  await rm(state, { recursive: true, force: true });
}

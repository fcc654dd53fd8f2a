// Headless Chromium from the system, through playwright-core.

import { existsSync } from "node:fs";

import { part } from "../judges/judge.mjs";

const { chromium } = await part("playwright-core");
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** A browser that asks for nothing but the pages it is told; `more` are options of its command. */
export async function launch(more = []) {
  const executablePath = PLACES.find((place) => existsSync(place));
  if (!executablePath) throw new Error("chromium is not installed: run tests/install-parts");
  return chromium.launch({
    executablePath,
    // Chromium's sandbox refuses to work for root.
    chromiumSandbox: process.getuid() !== 0,
    args: [
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-gpu",
      "--disable-quic",
      "--disable-sync",
      "--no-first-run",
      // Nothing is asked but loopback, where all pages of the tests are.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
      ...more,
    ],
  });
}

// What every judge in Node shares: one JSON document in, one out, and packages from the project's node folder.

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

/** Where a file of a package is. */
export const { resolve } = createRequire(new URL("../../.tools/node/", import.meta.url));

/** A package of tests/parts/package.json, as its users get it. */
export async function part(name) {
  const module = await import(pathToFileURL(resolve(name)).href);
  return module.default ?? module;
}

/** Answers the order on standard input. What fails unexpectedly ends the process with its stack. */
export async function judge(answer) {
  // Some packages talk; standard output is for the answer alone.
  console.log = console.info = console.debug = console.error;
  const { at, ...order } = JSON.parse(await text(process.stdin));
  if (at !== undefined) setClock(at);
  const document = JSON.stringify(await answer(order));
  // Clients leave timers and sockets open, and nothing uses them again.
  process.stdout.write(document, () => process.exit(0));
}

/** What `verify` resolves to, or the name of its refusal: whether a token ought to hold is for the test to say. */
export async function verdict(verify) {
  try {
    return await verify();
  } catch (error) {
    return { error: error.code ?? error.name, message: error.message };
  }
}

/** Header and claims of a token, unverified. */
export function parts(token) {
  const [header, claims] = token.split(".", 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
  return { token, header, claims };
}

/** From now on the time of day stands at this second: tests have a clock of their own, and packages take no time. */
export function setClock(seconds) {
  const now = seconds * 1000;
  globalThis.Date = class extends Date {
    constructor(...given) {
      super(...(given.length === 0 ? [now] : given));
    }

    static now() {
      return now;
    }
  };
}

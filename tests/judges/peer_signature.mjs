// Signs a request with the Node example of docs/identity/peers.md, word for word.
import { readFileSync } from "node:fs";

const page = readFileSync(new URL("../../docs/identity/peers.md", import.meta.url), "utf8");
const example = page.match(/```js\n(.*?)```/s)[1];
const { sign } = await import(`data:text/javascript,${encodeURIComponent(example)}`);
const asked = JSON.parse(readFileSync(0, "utf8"));
const signature = sign(asked.key, asked.method, asked.host, asked.target, asked.body, asked.headers, asked.time);
process.stdout.write(JSON.stringify({ signature }));

// An OpenID provider (npm oidc-provider) for one application. A second port takes orders: /rotate puts a new key first and
// keeps the one before it, /down and /up close and open the provider's own port. Prints both ports.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { part } from "../judges/judge.mjs";

const Provider = await part("oidc-provider");

let keys = [];
let answer;

function rotate() {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  keys = [{ ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "ES256" }, ...keys].slice(0, 2);
  const audience = { scope: "chat", audience: "chat", accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      {
        client_id: "app",
        client_secret: "0123456789abcdef0123456789abcdef",
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
        id_token_signed_response_alg: "ES256",
      },
    ],
    jwks: { keys },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: async () => audience },
    },
  });
  answer = provider.callback();
}

const listen = (server, port) => new Promise((done) => server.listen(port, "127.0.0.1", done));
const server = createServer((request, response) => answer(request, response));
await listen(server, 0);
const { port } = server.address();
rotate();

const orders = {
  "/rotate": async () => rotate(),
  "/down": () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  "/up": () => listen(server, port),
};
const control = createServer(async (request, response) => {
  const order = orders[request.url];
  await order?.();
  response.writeHead(order ? 204 : 404).end();
});
await listen(control, 0);
console.log(`orders on ${control.address().port}\nlistening on ${port}\n`);

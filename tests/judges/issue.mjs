// The jose library as an issuer of tokens: makes keys, and signs each of `orders` ({ alg, header, claims or text, by }) with
// the key of its algorithm. Answers the key set of the signer "ours", all public keys in PEM, and the tokens in order.

import { judge, part } from "./judge.mjs";

const { CompactSign, SignJWT, exportJWK, exportSPKI, generateKeyPair } = await part("jose");

const pairs = new Map();

async function pair(by, alg) {
  const name = `${by} ${alg}`;
  if (!pairs.has(name)) {
    const options = alg === "EdDSA" ? { crv: "Ed25519" } : {};
    pairs.set(name, await generateKeyPair(alg, { extractable: true, ...options }));
  }
  return pairs.get(name);
}

judge(async ({ orders }) => {
  const tokens = [];
  for (const { alg, header, claims, text, by = "ours", secret } of orders) {
    const key = secret ? new TextEncoder().encode(secret) : (await pair(by, alg)).privateKey;
    // What an object cannot hold, such as a claim that is there twice, comes as text.
    const token = text === undefined ? new SignJWT(claims) : new CompactSign(new TextEncoder().encode(text));
    tokens.push(await token.setProtectedHeader({ alg, kid: alg, ...header }).sign(key));
  }
  const keys = [];
  const pems = {};
  for (const [name, { publicKey }] of pairs) {
    const [by, kid] = name.split(" ");
    if (by !== "ours") continue;
    keys.push({ ...(await exportJWK(publicKey)), kid });
    pems[kid] = await exportSPKI(publicKey);
  }
  return { jwks: { keys }, pems, tokens };
});

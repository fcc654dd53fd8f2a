// A stand-in for emb.chat's verifier, after its description: the key is looked up by app id and key id, its algorithm is the
// only one taken, `sub`, `aud` and `exp` must be there. `keys` as in the vectors; `at` sets the clock.

import { judge, part, parts, verdict } from "./judge.mjs";

const { importSPKI, jwtVerify } = await part("jose");

const CODES = { ERR_JWT_EXPIRED: "expired_token" };

async function verify({ token, keys }) {
  const { header, claims } = parts(token);
  const key = keys.find(({ kid, app_id }) => kid === header.kid && app_id === claims.aud);
  if (header.kid === undefined || claims.aud === undefined) return { error: "invalid_token" };
  if (!key) return { error: "unknown_kid" };
  if (!key.active) return { error: "inactive_key" };
  const publicKey = await importSPKI(key.public_pem, key.algorithm);
  const checks = { algorithms: [key.algorithm], audience: key.app_id, requiredClaims: ["sub", "aud", "exp"] };
  const outcome = await verdict(() => jwtVerify(token, publicKey, checks));
  if (outcome.error) return { error: CODES[outcome.error] ?? "invalid_token" };
  return { header: outcome.protectedHeader, claims: outcome.payload };
}

judge(verify);

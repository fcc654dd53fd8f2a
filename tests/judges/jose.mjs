// The jose library, which shares no code with ours: verifies `token` with a key set in `jwks`, or with `secret` as text.
// `checks` are its own (algorithms, audience, issuer, requiredClaims, …); `at` sets the clock.

import { judge, part, verdict } from "./judge.mjs";

const { createLocalJWKSet, jwtVerify } = await part("jose");

judge(({ token, jwks, secret, checks }) =>
  verdict(async () => {
    const key = jwks ? createLocalJWKSet(jwks) : new TextEncoder().encode(secret);
    const { protectedHeader: header, payload: claims } = await jwtVerify(token, key, checks);
    return { header, claims };
  }),
);

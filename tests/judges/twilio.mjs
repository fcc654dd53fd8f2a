// Twilio's server library: an access token with a chat grant. `options` are those of its AccessToken (identity, ttl,
// nbf, region), `grant` those of its ChatGrant (serviceSid, pushCredentialSid, endpointId); `at` sets the clock.

import { judge, part, parts } from "./judge.mjs";

const { AccessToken } = (await part("twilio")).jwt;

judge(({ account, key, secret, options, grant }) => {
  const token = new AccessToken(account, key, secret, options);
  token.addGrant(new AccessToken.ChatGrant(grant));
  return parts(token.toJwt());
});

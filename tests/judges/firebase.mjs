// Firebase's server library: the custom token of `uid` with `claims`, signed by the service account `email` with its
// private key `pem`; for a `tenant` where given. Says why where it refuses. `at` sets the clock.

import { judge, part, parts, verdict } from "./judge.mjs";

const admin = await part("firebase-admin");

judge(({ email, pem, uid, claims, tenant }) => {
  const credential = admin.credential.cert({ projectId: "chat-test", clientEmail: email, privateKey: pem });
  const auth = admin.initializeApp({ credential }).auth();
  const signer = tenant ? auth.tenantManager().authForTenant(tenant) : auth;
  return verdict(async () => parts(await signer.createCustomToken(uid, claims)));
});

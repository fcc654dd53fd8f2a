// Pusher's server library: signs the user `user` in on a socket, lets the socket into `channel` as member `member`, or signs
// the query of the API call `request` (method, path, params, body); `at` sets the clock.

import { judge, part } from "./judge.mjs";

const Pusher = await part("pusher");

judge(({ key, secret, encryption_key, socket_id, user, channel, member, request }) => {
  const pusher = new Pusher({ appId: "1", key, secret, host: "127.0.0.1", encryptionMasterKeyBase64: encryption_key });
  if (request) return pusher.createSignedQueryString({ params: {}, ...request });
  return channel ? pusher.authorizeChannel(socket_id, channel, member) : pusher.authenticateUser(socket_id, user);
});

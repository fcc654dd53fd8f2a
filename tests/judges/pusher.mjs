// Pusher's server library: signs the user `user` in on a socket, or lets the socket into `channel` as member `member`.

import { judge, part } from "./judge.mjs";

const Pusher = await part("pusher");

judge(({ key, secret, encryption_key, socket_id, user, channel, member }) => {
  const pusher = new Pusher({ appId: "1", key, secret, host: "127.0.0.1", encryptionMasterKeyBase64: encryption_key });
  return channel ? pusher.authorizeChannel(socket_id, channel, member) : pusher.authenticateUser(socket_id, user);
});

// Stream's server library: the token of `user`, with `exp` and `iat` where given, signed with `secret`.

import { judge, part, parts } from "./judge.mjs";

const { StreamChat } = await part("stream-chat");

judge(({ key, secret, user, exp, iat }) => parts(new StreamChat(key, secret).createToken(user, exp, iat)));

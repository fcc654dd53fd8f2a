// LiveKit's client library as an application uses it: fetches connection details from a token endpoint at `url`, with
// `headers`, for what the application wishes in `wishes` (roomName, participantName, …).

import { judge, part, verdict } from "./judge.mjs";

const { TokenSource } = await part("livekit-client");

judge(({ url, headers, wishes }) => verdict(() => TokenSource.endpoint(url, { headers }).fetch(wishes ?? {})));

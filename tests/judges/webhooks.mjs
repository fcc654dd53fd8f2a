// Libraries that sign or verify webhooks. `library` and `secret` (or `key` and `secret`) in each order; `at` sets the clock.
//
// With `sign`: the headers that the provider's own library makes for `body` (and `url`, `form`), and the address it posts to.
// With `verify`, a list of requests (headers, body_base64, now, secrets or keys, url): whether the library takes each.

import { judge, part, setClock } from "./judge.mjs";

const JSON_TYPE = "application/json";
const FORM_TYPE = "application/x-www-form-urlencoded";

/** Fields of a form; a list where a name comes more than once. */
function fields(body) {
  const form = new URLSearchParams(body);
  return Object.fromEntries([...new Set(form.keys())].map((name) => {
    const values = form.getAll(name);
    return [name, values.length > 1 ? values : values[0]];
  }));
}

/** Whether nothing was thrown, or only by what reads the body behind the proof: JSON that is none, an unknown event. */
async function takes(verify, behind = () => false) {
  try {
    return (await verify()) !== false;
  } catch (error) {
    return error instanceof SyntaxError || behind(error);
  }
}

const libraries = {
  async standardwebhooks() {
    const { Webhook } = await part("standardwebhooks");
    return {
      sign: ({ secret, id, now, body }) => ({
        headers: {
          "content-type": JSON_TYPE, "webhook-id": id, "webhook-timestamp": String(now),
          "webhook-signature": new Webhook(secret).sign(id, new Date(now * 1000), body),
        },
      }),
      verify: (secret, { headers, body }) =>
        takes(() => new Webhook(secret).verify(body, headers, { jsonParse: false })),
    };
  },
  async svix() {
    const { Webhook } = await part("svix");
    return {
      sign: ({ secret, id, now, body }) => ({
        headers: {
          "content-type": JSON_TYPE, "svix-id": id, "svix-timestamp": String(now),
          "svix-signature": new Webhook(secret).sign(id, new Date(now * 1000), body),
        },
      }),
      verify: (secret, { headers, body }) => takes(() => new Webhook(secret).verify(body, headers)),
    };
  },
  async liveblocks() {
    const { WebhookHandler } = await part("@liveblocks/node");
    const unknown = (error) => error.message.startsWith("Unknown event type");
    return {
      verify: (secret, { headers, body }) =>
        takes(() => new WebhookHandler(secret).verifyRequest({ headers, rawBody: body }), unknown),
    };
  },
  async stream() {
    const { StreamChat } = await part("stream-chat");
    return {
      verify: (secret, { header, raw }) =>
        takes(() => new StreamChat("key", secret).verifyAndParseWebhook(raw, header("x-signature") ?? "")),
    };
  },
  async pusher() {
    const Pusher = await part("pusher");
    return {
      verify: (secret, { headers, header, body }, key) => {
        // Without a signature it ends in an error of the language.
        const pusher = new Pusher({ appId: "1", key, secret, host: "127.0.0.1" });
        return header("x-pusher-signature") ? pusher.webhook({ headers: lower(headers), rawBody: body }).isValid() : false;
      },
    };
  },
  async livekit() {
    const { AccessToken, WebhookReceiver } = await part("livekit-server-sdk");
    const { createHash } = await import("node:crypto");
    return {
      sign: async ({ key, secret, body }) => {
        const token = new AccessToken(key, secret, { ttl: 300 });
        token.sha256 = createHash("sha256").update(body).digest("base64");
        return { headers: { "content-type": "application/webhook+json", authorization: await token.toJwt() } };
      },
      verify: (secret, { header, body }, key) =>
        takes(() => new WebhookReceiver(key, secret).receive(body, header("authorization"), false, 60)),
    };
  },
  async twilio() {
    const twilio = await part("twilio");
    return {
      sign: ({ secret, url, form, body, algorithm }) => {
        const settings = algorithm && { "x-twilio-webhooks-signature-settings": `key=shared_1,algorithm=${algorithm}` };
        const signed = form === undefined ? `${url}${url.includes("?") ? "&" : "?"}bodySHA256=${twilio.getExpectedBodyHash(body)}` : url;
        const signature = twilio.getExpectedTwilioSignature(secret, signed, form === undefined ? null : fields(form), algorithm);
        const type = form === undefined ? JSON_TYPE : FORM_TYPE;
        return { headers: { "content-type": type, "x-twilio-signature": signature, ...settings }, url: signed };
      },
      verify: (secret, { header, url, body }) => {
        const signature = header("x-twilio-signature") ?? "";
        const algorithm = twilio.getSignatureAlgorithm(header("x-twilio-webhooks-signature-settings"));
        return header("content-type") === FORM_TYPE
          ? twilio.validateRequest(secret, signature, url, fields(body), algorithm)
          : twilio.validateRequestWithBody(secret, signature, url, body, algorithm);
      },
    };
  },
};

const lower = (headers) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

judge(async ({ library, sign, verify }) => {
  const made = await libraries[library]();
  if (sign) return made.sign(sign);
  const verdicts = [];
  for (const { headers, body_base64, now, secrets, keys, url } of verify) {
    if (now !== null && now !== undefined) setClock(now);
    const raw = Buffer.from(body_base64, "base64");
    const request = { headers, header: (name) => lower(headers)[name], raw, body: raw.toString(), url };
    // Of several secrets any one may match, as their users are told to try them.
    const known = keys ? Object.entries(keys) : secrets.map((secret) => [undefined, secret]);
    let taken = false;
    for (const [key, secret] of known) taken = (await made.verify(secret, request, key)) || taken;
    verdicts.push(taken);
  }
  return verdicts;
});

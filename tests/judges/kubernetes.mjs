// Schemas of Istio and of the Gateway API: what they say against each of `documents`, fields that they do not know included.

import { judge } from "./judge.mjs";

const folder = new URL("../../.tools/node/node_modules/@kubernetes-models/", import.meta.url);
// By group: where the package keeps the validator of a kind, before version and kind.
const validators = {
  "gateway.networking.k8s.io": "gateway-api/_schemas/IoK8sSigsGatewayApiApis",
  "networking.istio.io": "istio/_schemas/NetworkingIstioIo",
  "security.istio.io": "istio/_schemas/SecurityIstioIo",
};

/** What an EnvoyFilter puts into Envoy's configuration is Envoy's to judge. */
const isEnvoys = (path) => path.includes("/patch/value/");

/** A view of a value that notes which fields are read, and what came of it. */
function watched(value, path, fields) {
  if (value === null || typeof value !== "object") return value;
  const isList = Array.isArray(value);
  const inner = new Map();
  for (const key of Object.keys(value)) {
    const at = `${path}/${key}`;
    inner.set(key, watched(value[key], at, fields));
    if (!isList) fields.set(at, false);
  }
  return new Proxy(value, {
    get(target, key) {
      if (typeof key !== "string" || !inner.has(key)) return Reflect.get(target, key);
      if (!isList) fields.set(`${path}/${key}`, true);
      return inner.get(key);
    },
  });
}

/** Schemas of resources let unknown fields pass. The validators made of them read every field that they know. */
async function complaints(document) {
  const { apiVersion, kind } = document;
  const [group, version] = apiVersion.split("/");
  if (!(group in validators)) return [];
  const { validate } = await import(new URL(`${validators[group]}V${version.slice(1)}${kind}.js`, folder));
  const fields = new Map();
  if (!validate(watched(document, "", fields))) {
    return validate.errors.map((error) => `${kind}: ${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`);
  }
  return [...fields].filter(([path, read]) => !read && !isEnvoys(path)).map(([path]) => `${kind}: ${path} is unknown`);
}

judge(async ({ documents }) => ({ complaints: (await Promise.all(documents.map(complaints))).flat() }));

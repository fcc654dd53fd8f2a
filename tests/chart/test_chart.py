"""The chart, rendered by the real Helm engine and judged by the schemas of Kubernetes.

    $TOOLS/bin/python tests/chart/test_chart.py

UPDATE_GOLDEN=1 writes golden/ anew. SIDEMINT_BIN=path/to/sidemint also lets the binary judge every configuration that
was rendered; where CI is set, it must be given.
"""

import base64
import contextlib
import copy
import datetime
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib

import helm_python as helm
import kubernetes_validate
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "helm"
# The oldest that Chart.yaml allows, the one most clusters run, and the newest with a schema.
KUBERNETES = ("1.29", "1.31", "1.37")
# Kinds that are not Kubernetes' own, so it has no schema for them.
FOREIGN_KINDS = {"PodMonitor", "PrometheusRule"}
# Keys that only a parent chart sets.
PARENT_KEYS = {"enabled", "global"}

passed, failed = 0, []


def check(name, good, detail=""):
    global passed
    if good:
        passed += 1
    else:
        failed.append(name)
        print(f"FAILED {name}" + (f"\n       {detail}" if detail else ""))


def load(path):
    return yaml.safe_load(path.read_text()) or {}


def merged(base, over):
    result = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(result.get(key), dict) and isinstance(value, dict)
        result[key] = merged(result[key], value) if both else value
    return result


def render(chart, values):
    """Templates that rendered to something, by path, as text."""
    with helm.Chart.load(chart) as loaded:
        texts = loaded.render(values, name="demo", namespace="prod")
    return {path: text.strip() + "\n" for path, text in sorted(texts.items()) if text.strip()}


def objects(texts):
    manifests = (text for path, text in texts.items() if path.endswith(".yaml"))
    return [document for text in manifests for document in yaml.safe_load_all(text) if document]


def pick(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def config_of(documents):
    return pick(documents, "ConfigMap")[0]["data"]["config.toml"]


def workload_of(documents):
    return next(document for document in documents if document["kind"] in ("Deployment", "StatefulSet"))


def pod_of(documents):
    return workload_of(documents)["spec"]["template"]


def container_of(documents):
    spec = pod_of(documents)["spec"]
    return next(c for c in spec.get("initContainers", []) + spec["containers"] if c["name"] == "sidemint")


def keys_below(value):
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from keys_below(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys_below(below)


# ---- What every render must hold ----


def well_formed(name, documents):
    for document in documents:
        for version in KUBERNETES if document["kind"] not in FOREIGN_KINDS else ():
            label = f"{name}: {document['kind']} fits Kubernetes {version}"
            try:
                kubernetes_validate.validate(document, version, strict=True)
                check(label, True)
            except Exception as error:  # whatever it raises, the document did not pass
                check(label, False, f"{list(getattr(error, 'path', []))}: {getattr(error, 'message', error)}")
        check(f"{name}: {document['kind']} is in the release's namespace", document["metadata"]["namespace"] == "prod")
    check(f"{name}: no subPath, which would keep an old secret for ever", "subPath" not in set(keys_below(documents)))


def golden(name, texts):
    path = HERE / "golden" / f"{name}.yaml"
    text = "".join(f"# ---- {template}\n{body}" for template, body in texts.items())
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    same = path.is_file() and path.read_text() == text
    check(f"{name}: as in golden/", same, f"{path.name} differs: look at the change, then run with UPDATE_GOLDEN=1")


def secure_container(name, container, user):
    context = container["securityContext"]
    check(f"{name}: not root", context["runAsNonRoot"] is True and context.get("runAsUser") == user)
    check(f"{name}: root file system is read-only", context["readOnlyRootFilesystem"] is True)
    check(f"{name}: no capability", context["capabilities"] == {"drop": ["ALL"]})
    check(f"{name}: no way to more rights", context["allowPrivilegeEscalation"] is False and not context["privileged"])
    check(f"{name}: seccomp", context["seccompProfile"] == {"type": "RuntimeDefault"})
    resources = container["resources"]
    bounded = all(resources[side].get(what) for side in ("requests", "limits") for what in ("cpu", "memory"))
    check(f"{name}: resources are bounded", bounded)
    written = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    queue = ["/var/lib/sidemint"] if any(port.get("name") == "sidemint-hooks" for port in container.get("ports", [])) else []
    check(f"{name}: mounts are read-only, the queue of webhooks aside", written == queue, written)
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    check(f"{name}: no secret in the environment", all("valueFrom" not in entry for entry in container["env"]))
    probes = {kind: container[kind]["exec"]["command"] for kind in container if kind.endswith("Probe")}
    check(f"{name}: probes", {"startupProbe", "livenessProbe"} <= probes.keys())
    check(
        f"{name}: probes ask the binary and read no file that an upgrade changes",
        all(command[:2] == ["/usr/local/bin/sidemint", "healthcheck"] and "/dev/null" in command for command in probes.values())
        and "SIDEMINT_OPS__LISTEN" in env,
    )


def secure_pod(name, pod):
    spec = pod["spec"]
    check(f"{name}: no API token", spec["automountServiceAccountToken"] is False)
    check(f"{name}: no service links", spec["enableServiceLinks"] is False)
    check(f"{name}: shares nothing with its node", not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys())
    check(f"{name}: no host path", all("hostPath" not in volume for volume in spec["volumes"]))


def seconds(text):
    return int(text.removesuffix("s"))


def configuration(name, values, text, proofs=None):
    """What was written as YAML arrives as the same TOML, plus what the chart decides."""
    got = tomllib.loads(text)
    server = got["server"]
    for key in ("listen", "drain_delay", "drain_timeout"):
        check(f"{name}: server.{key} is set", isinstance(server.pop(key, None), str))
    wanted = copy.deepcopy(values.get("config", {}))
    wanted.setdefault("server", {})
    if values.get("grpc", {}).get("enabled"):
        check(f"{name}: grpc.listen is set", isinstance(got["grpc"].pop("listen", None), str))
        wanted.setdefault("grpc", {})
    if values.get("webhooks", {}).get("enabled"):
        for section, key in (("webhook_server", "listen"), ("queue", "dir")):
            check(f"{name}: {section}.{key} is set", isinstance(got[section].pop(key, None), str))
            wanted.setdefault(section, {})
    if values.get("gateway", {}).get("enabled"):
        ports = values["gateway"].get("mounts", {})
        listens = {mount["provider"]: mount.pop("listen", None) for mount in got["gateway"]["mounts"]}
        check(f"{name}: gateway.listen is set", isinstance(got["gateway"].pop("listen", None), str))
        heard = {provider: listen.rsplit(":", 1)[1] for provider, listen in listens.items() if listen}
        check(f"{name}: mounts listen at their ports", heard == {key: str(port) for key, port in ports.items()}, listens)
        if "hosts" not in wanted["gateway"]:
            got["gateway"].pop("hosts", None)
    if values.get("shared", {}).get("urls"):
        tier = got["cache"]["shared"]
        check(f"{name}: the tier is where it was said", tier["urls"] == values["shared"]["urls"], tier)
        said = wanted.get("cache", {}).get("shared", {})
        left = {key: value for key, value in tier.items() if key in said}
        got["cache"] = {key: value for key, value in {**got["cache"], "shared": left}.items() if value != {}}
        got = {key: value for key, value in got.items() if key != "cache" or value}
    if values.get("grants"):
        check(f"{name}: teams_dir is set", isinstance(got.pop("teams_dir", None), str))
        check(f"{name}: grants arrive unchanged", in_order(got.pop("teams", None)) == in_order(values["grants"]))
    if "routes" in wanted:
        wanted["identity"].setdefault("peers", {"networks": ["127.0.0.0/8", "::1/128"]})
    wanted = merged(wanted, proofs or {})
    # repr also tells 64 from 64.0 and true from 1.
    check(f"{name}: config arrives unchanged", in_order(got) == in_order(wanted), f"got {got}\n       wanted {wanted}")


def in_order(value):
    if isinstance(value, dict):
        return repr(sorted((key, in_order(below)) for key, below in value.items()))
    return repr([in_order(below) for below in value]) if isinstance(value, list) else repr(value)


# ---- The forms ----


def shared(name, values, proofs=None):
    texts = render(CHART, values)
    documents = objects(texts)
    golden(name, texts)
    well_formed(name, documents)
    configuration(name, values, config_of(documents), proofs)
    secure_pod(name, pod_of(documents))
    secure_container(name, container_of(documents), values.get("runAsUser", 65532))

    server = tomllib.loads(config_of(documents))["server"]
    grace = pod_of(documents)["spec"]["terminationGracePeriodSeconds"]
    check(f"{name}: grace outlasts the drain", grace > seconds(server["drain_delay"]) + seconds(server["drain_timeout"]))
    port = container_of(documents)["ports"][0]
    check(f"{name}: the port is the one listened on", server["listen"].endswith(f":{port['containerPort']}"))
    service = pick(documents, "Service")[0]["spec"]
    check(f"{name}: the service stays inside", service["type"] == "ClusterIP")
    check(f"{name}: the service finds the port", service["ports"][0]["targetPort"] == port["name"])
    pod_labels = pod_of(documents)["metadata"]["labels"].items()
    selected = [service["selector"], workload_of(documents)["spec"]["selector"]["matchLabels"]]
    selected += [pick(documents, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]]
    selected += [budget["spec"]["selector"]["matchLabels"] for budget in pick(documents, "PodDisruptionBudget")]
    check(f"{name}: selectors find the pods", all(selector and selector.items() <= pod_labels for selector in selected))
    account = pick(documents, "ServiceAccount")[0]
    check(f"{name}: the account has no token", account["automountServiceAccountToken"] is False)
    used = pod_of(documents)["spec"]["serviceAccountName"]
    check(f"{name}: the account is the pod's", account["metadata"]["name"] == used)
    policy = pick(documents, "NetworkPolicy")[0]["spec"]
    check(f"{name}: the policy covers both directions", policy["policyTypes"] == ["Ingress", "Egress"])
    rules = policy["ingress"] + policy["egress"]
    check(f"{name}: no rule is for every peer", all(rule.get("from") or rule.get("to") for rule in rules))
    return documents


def test_shared():
    values = load(HERE / "values/shared.yaml")
    documents = shared("shared", values)
    kinds = sorted(document["kind"] for document in documents)
    wanted = ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
    check("shared: these objects and no others", kinds == wanted, kinds)
    env = {entry["name"]: entry["value"] for entry in container_of(documents)["env"]}
    check("shared: the ops listener stays on loopback", env["SIDEMINT_OPS__LISTEN"] == "127.0.0.1:9090")
    ports = {port["port"] for rule in pick(documents, "NetworkPolicy")[0]["spec"]["ingress"] for port in rule["ports"]}
    check("shared: only the front port is reachable", ports == {"http"})


def test_shared_full():
    documents = shared("shared-full", load(HERE / "values/shared-full.yaml"))
    container = container_of(documents)
    check("shared-full: the digest decides", container["image"].endswith(":0.1.0-rc.1@sha256:" + "0123456789abcdef" * 4))
    monitor = pick(documents, "PodMonitor")[0]
    check("shared-full: the monitor's labels", monitor["metadata"]["labels"].get("release") == "prometheus")
    endpoint = monitor["spec"]["podMetricsEndpoints"][0]
    check("shared-full: the monitor's port exists", endpoint["port"] in {port["name"] for port in container["ports"]})
    grpc = tomllib.loads(config_of(documents))["grpc"]["listen"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    check("shared-full: gRPC listens on its port", grpc == f"[::]:{ports['grpc']}", grpc)
    second = pick(documents, "Service")[0]["spec"]["ports"][1]
    protocol = (second["targetPort"], second["appProtocol"])
    check("shared-full: the service finds gRPC", protocol == ("grpc", "kubernetes.io/h2c"))
    rules = pick(documents, "NetworkPolicy")[0]["spec"]["ingress"]
    check("shared-full: each peer that may ask may ask over gRPC", [port["port"] for port in rules[0]["ports"]] == ["http", "grpc"])
    scrape = rules[1]
    check("shared-full: Prometheus may scrape", scrape["ports"][0]["port"] == endpoint["port"])


def test_proofs():
    folder = "/run/secrets/sidemint"
    tls = {
        "cert_file": f"{folder}/tls/tls.crt",
        "key_file": f"{folder}/tls/tls.key",
        "client_ca_file": f"{folder}/tls/ca.crt",
        "client_certificates": "optional",
    }
    peers = {
        "secret_files": [f"{folder}/peer-secret/current", f"{folder}/peer-secret/next"],
        "hmac_key_files": [f"{folder}/peer-hmac/shop.key"],
    }
    values = load(HERE / "values/proofs.yaml")
    documents = shared("proofs", values, {"server": {"tls": tls}, "identity": {"peers": peers}})
    mounts = {mount["mountPath"]: mount["name"] for mount in container_of(documents)["volumeMounts"]}
    volumes = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in pod_of(documents)["spec"]["volumes"]}
    for path, secret in (("tls", "tokens-tls"), ("peer-secret", "tokens-peers"), ("peer-hmac", "tokens-signing"), ("sendsar", "shop-sendsar")):
        check(f"proofs: {path} is mounted from {secret}", volumes.get(mounts.get(f"{folder}/{path}")) == secret)
    for name, documents in (("proofs", documents), ("plain", objects(render(CHART, load(HERE / "values/shared.yaml"))))):
        protocol = pick(documents, "Service")[0]["spec"]["ports"][0]["appProtocol"]
        check(f"{name}: the service says what it speaks", protocol == {"proofs": "https", "plain": "http"}[name])
    # The operator's own words for the same.
    own = merged(load(HERE / "values/shared.yaml"), {"secrets": {"own": {"secretName": "own"}}})
    own["config"]["server"] = {"tls": {"cert_file": f"{folder}/own/tls.crt", "key_file": f"{folder}/own/tls.key"}}
    protocol = pick(objects(render(CHART, own)), "Service")[0]["spec"]["ports"][0]["appProtocol"]
    check("proofs: TLS by config alone is seen as well", protocol == "https")
    # One proof is enough, and none is too few.
    for over in ({"tls": {"secretName": ""}}, {"peers": {"hmac": {"secretName": "", "keys": []}}}):
        without = merged(values, over)
        if not without["tls"]["secretName"]:
            without["tls"]["clientCa"] = ""
            without["config"]["identity"].pop("peers")
        render(CHART, without)
        check(f"proofs: rendered without {next(iter(over))}", True)
    sidecar = merged(load(HERE / "values/sidecar.yaml"), {"peers": values["peers"]})
    got = tomllib.loads(config_of(objects(render(CHART, sidecar))))["identity"]["peers"]
    check("proofs: a sidecar asks for loopback and the secret", got == {"networks": ["127.0.0.0/8", "::1/128"], **peers}, got)


def test_webhooks():
    values = load(HERE / "values/webhooks.yaml")
    documents = shared("webhooks", values)
    kinds = sorted(document["kind"] for document in documents)
    wanted = ["ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]
    check("webhooks: these objects and no others", kinds == wanted, kinds)
    got = tomllib.loads(config_of(documents))
    ports = {port["name"]: port["containerPort"] for port in container_of(documents)["ports"]}
    listener = got["webhook_server"]["listen"]
    check("webhooks: the listener is on its port", listener == f"0.0.0.0:{ports['sidemint-hooks']}", listener)
    services = {port["name"]: port["targetPort"] for port in pick(documents, "Service")[0]["spec"]["ports"]}
    check("webhooks: the service finds the listener", services["webhooks"] == "sidemint-hooks")
    rules = pick(documents, "NetworkPolicy")[0]["spec"]["ingress"]
    callers = [rule["from"] for rule in rules if {"port": "sidemint-hooks", "protocol": "TCP"} in rule["ports"]]
    check("webhooks: the ingress alone may call it", callers == [values["networkPolicy"]["webhooksFrom"]], callers)
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(documents)["volumeMounts"]}
    inside = got["queue"]["dir"].startswith(mounts["sidemint-queue"] + "/")
    check("webhooks: the queue is in the volume", inside, got["queue"]["dir"])
    claim = workload_of(documents)["spec"]["volumeClaimTemplates"][0]
    check("webhooks: the claim is the volume", claim["metadata"]["name"] == "sidemint-queue")
    spec = claim["spec"]
    check("webhooks: the claim is as asked for", (spec["storageClassName"], spec["resources"]["requests"]["storage"]) == ("fast", "2048Mi"))
    check("webhooks: the volume is the user's", pod_of(documents)["spec"]["securityContext"]["fsGroup"] == 65532)

    # Without a claim it is a Deployment again, and the queue ends with the pod.
    folder = merged(values, {"webhooks": {"queue": {"persistent": False}}})
    texts = render(CHART, folder)
    documents = objects(texts)
    well_formed("webhooks in a folder", documents)
    volume = next(volume for volume in pod_of(documents)["spec"]["volumes"] if volume["name"] == "sidemint-queue")
    check("webhooks: without a claim it is a folder of the pod", volume["emptyDir"] == {"sizeLimit": "2048Mi"}, volume)
    check("webhooks: a Deployment", workload_of(documents)["kind"] == "Deployment")
    notes = next(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    check("webhooks: the notes warn where nothing takes over", "config.webhooks.chat has no fallback" in notes, notes)
    # One queue for all pods on a server: no volume, and nothing ends with a pod.
    redis = {"urls": ["rediss://queue.example:6379"], "fleet": "prod-eu"}
    key = "/run/secrets/sidemint/sendsar/queue-key"
    queue = {"webhooks": {"queue": {"persistent": False}}, "config": {"queue": {"redis": redis, "key_file": key}}}
    texts = render(CHART, merged(values, queue))
    documents = objects(texts)
    well_formed("webhooks on a server", documents)
    got = tomllib.loads(config_of(documents))["queue"]
    check("webhooks on a server: the section is as written", got == {"max_bytes": 536870912, "redis": redis, "key_file": key}, got)
    names = [volume["name"] for volume in pod_of(documents)["spec"]["volumes"] + container_of(documents)["volumeMounts"]]
    check("webhooks on a server: no volume", "sidemint-queue" not in names, names)
    notes = next(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    check("webhooks on a server: nothing ends with the pod", "no fallback" not in notes, notes)
    closed = objects(render(CHART, merged(values, {"networkPolicy": {"webhooksFrom": []}})))
    ingress = pick(closed, "NetworkPolicy")[0]["spec"]["ingress"]
    check("webhooks: an empty list admits no peer", all(port["port"] == "http" for rule in ingress for port in rule["ports"]))

    # A sidecar has the listener on the pod's address, since the provider's calls come from outside.
    sidecar = merged(load(HERE / "values/sidecar.yaml"), {"webhooks": {"enabled": True}})
    sidecar["config"]["webhooks"] = values["config"]["webhooks"]
    sidecar["secrets"] = merged(sidecar.get("secrets", {}), values["secrets"])
    got = tomllib.loads(config_of(objects(render(CHART, sidecar))))
    listeners = (got["server"]["listen"].split(":")[0], got["webhook_server"]["listen"])
    check("webhooks: a sidecar takes them from outside", listeners == ("127.0.0.1", "0.0.0.0:8081"), listeners)

    hooks = values["config"]["webhooks"]
    for name, over, sentence in (
        ("webhooks without a listener", {"webhooks": {"enabled": False, "queue": {"persistent": False}}}, "config.webhooks needs webhooks.enabled"),
        ("a claim beside a server", {"config": {"queue": {"redis": {"fleet": "x"}}}}, "webhooks.queue.persistent makes volumes"),
        ("a claim without webhooks", {"webhooks": {"enabled": False}}, "webhooks.queue.persistent needs webhooks.enabled"),
        ("their listener in config", {"config": {"webhook_server": {"listen": "0.0.0.0:1"}}}, "use webhooks.port"),
        ("the queue's folder in config", {"config": {"queue": {"dir": "/x"}}}, "use webhooks.queue"),
        ("a queue that outgrows its volume", {"webhooks": {"queue": {"sizeMi": 1024}}}, "more than a quarter of webhooks.queue.sizeMi"),
        ("a route without a source", {"config": {"routes": [{"path": "/x", "answer": "session", "provider": "chat"}]}}, "config.identity.source must be given"),
    ):
        refused(CHART, name, merged(values, over), sentence)
    nothing = merged(load(HERE / "values/shared.yaml"), {"webhooks": {"enabled": True}})
    refused(CHART, "a listener without webhooks", nothing, "webhooks.enabled needs config.webhooks")
    claimed = merged(sidecar, {"webhooks": {"queue": {"persistent": True}}})
    refused(CHART, "a claim in a sidecar", merged(claimed, {"config": {"webhooks": hooks}}), "persistent is for the shared form")


def test_gateway():
    values = load(HERE / "values/gateway.yaml")
    documents = shared("gateway", values)
    got = tomllib.loads(config_of(documents))["gateway"]
    check("gateway: it is on the pod's address", got["listen"] == "0.0.0.0:8070", got["listen"])
    check("gateway: it answers to the Service's names", got["hosts"][-1] == "demo-sidemint.prod.svc.cluster.local", got["hosts"])
    check("gateway: a mount without a port has no listener", [mount.get("listen") for mount in got["mounts"]] == ["0.0.0.0:8071", None])
    open_ports = {port["containerPort"]: port.get("name", port["containerPort"]) for port in container_of(documents)["ports"]}
    services = {port["name"]: (port["port"], port["targetPort"]) for port in pick(documents, "Service")[0]["spec"]["ports"]}
    check("gateway: the service finds the listeners", (services["gateway"], services["gateway-live"]) == ((8070, open_ports[8070]), (8071, 8071)))
    rules = pick(documents, "NetworkPolicy")[0]["spec"]["ingress"]
    callers = [rule for rule in rules if rule["from"] == values["networkPolicy"]["gatewayFrom"]]
    check("gateway: its callers may call, and nothing else", [[port["port"] for port in rule["ports"]] for rule in callers] == [["sidemint-calls", 8071]])
    check("gateway: others may not", all(port["port"] == "http" for rule in rules if rule not in callers for port in rule["ports"]))
    closed = objects(render(CHART, merged(values, {"networkPolicy": {"gatewayFrom": []}})))
    ingress = pick(closed, "NetworkPolicy")[0]["spec"]["ingress"]
    check("gateway: an empty list admits no peer", all(port["port"] == "http" for rule in ingress for port in rule["ports"]))
    own = merged(values, {"config": {"gateway": {"hosts": ["calls.example.com"]}}})
    hosts = tomllib.loads(config_of(objects(render(CHART, own))))["gateway"]["hosts"]
    check("gateway: the operator's hosts stand", hosts == ["calls.example.com"], hosts)
    tls = {"cert_file": "/run/secrets/sidemint/callers/tls.crt", "key_file": "/run/secrets/sidemint/callers/tls.key"}
    secured = pick(objects(render(CHART, merged(values, {"config": {"gateway": {"tls": tls}}}))), "Service")[0]["spec"]["ports"]
    protocols = {port["name"]: port["appProtocol"] for port in secured}
    check("gateway: the service says what it speaks", (protocols["http"], protocols["gateway-live"]) == ("http", "https"), protocols)

    # A sidecar's gateway is for its own pod.
    sidecar = load(HERE / "values/sidecar.yaml")
    sidecar["config"]["gateway"] = {"mounts": [{"provider": "chat"}], "callers": values["config"]["gateway"]["callers"]}
    sidecar["config"]["gateway"]["callers"]["shop"]["grants"] = [{"provider": "chat", "allow": ["default"]}]
    sidecar["secrets"] = merged(sidecar.get("secrets", {}), values["secrets"])
    sidecar["gateway"] = {"enabled": True, "mounts": {"chat": 8071}}
    texts = render(CHART, sidecar)
    got = tomllib.loads(config_of(objects(texts)))["gateway"]
    listeners = (got["listen"], got["mounts"][0]["listen"], "hosts" in got)
    check("gateway: a sidecar's is on loopback", listeners == ("127.0.0.1:8070", "127.0.0.1:8071", False), listeners)

    for name, base, over, sentence in (
        ("a gateway without a listener", values, {"gateway": {"enabled": False}}, "config.gateway needs gateway.enabled"),
        ("ports without a gateway", load(HERE / "values/shared.yaml"), {"gateway": {"expose": True}}, "gateway.expose needs gateway.enabled"),
        ("its listener in config", values, {"config": {"gateway": {"listen": "0.0.0.0:1"}}}, "use gateway.port and gateway.expose"),
        ("a mount's listener in config", values, {"config": {"gateway": {"mounts": [{"provider": "live", "listen": "0.0.0.0:1"}]}}}, "use gateway.mounts.live"),
        ("a port of no mount", values, {"gateway": {"mounts": {"other": 8072}}}, "gateway.mounts.other has no mount"),
        ("a gateway that nothing reaches", values, {"gateway": {"expose": False}}, "needs gateway.expose: true in the shared form"),
        ("a sidecar's gateway for others", sidecar, {"gateway": {"expose": True}}, "gateway.expose is for the shared form"),
        ("a caller's key that is not mounted", values, {"config": {"gateway": {"callers": {"shop": {"key_files": ["/run/secrets/sidemint/other/shop"]}}}}}, "secrets.other is not given"),
    ):
        refused(CHART, name, merged(base, over), sentence)
    nothing = merged(load(HERE / "values/shared.yaml"), {"gateway": {"enabled": True, "expose": True}})
    refused(CHART, "a listener without a gateway", nothing, "gateway.enabled needs config.gateway")


def test_tier():
    values = load(HERE / "values/tier.yaml")
    keys, access = "/run/secrets/sidemint/shared-keys", "/run/secrets/sidemint/shared-access"
    wanted = {
        "mode": "sentinel",
        "service": "tier",
        "urls": values["shared"]["urls"],
        "fleet": "prod-demo-sidemint",
        "names_file": f"{keys}/names",
        "key_dir": keys,
        "username": "sidemint",
        "password_file": f"{access}/password",
        "sentinel_password_file": f"{access}/sentinel-password",
        "ca_file": f"{access}/ca.crt",
        "client_cert_file": f"{access}/tls.crt",
        "client_key_file": f"{access}/tls.key",
        "expect_replicas": 3,
        "timeout": "8ms",
    }
    documents = shared("tier", values)
    got = tomllib.loads(config_of(documents))["cache"]["shared"]
    check("tier: the section is whole", got == wanted, got)
    mounted = {mount["mountPath"] for mount in container_of(documents)["volumeMounts"]}
    check("tier: its secrets are mounted", {keys, access} <= mounted, mounted)
    volumes = {volume["secret"]["secretName"] for volume in pod_of(documents)["spec"]["volumes"] if "secret" in volume}
    check("tier: of the Secrets that are named", {"chat-fleet", "chat-tier"} <= volumes, volumes)

    def ports(values):
        rules = pick(objects(render(CHART, values)), "NetworkPolicy")[0]["spec"]["egress"]
        own = [rule for rule in rules if rule["to"] == load(HERE / "values/tier.yaml")["networkPolicy"]["sharedTo"]]
        return [[port["port"] for port in rule["ports"]] for rule in own]

    check("tier: sentinels and servers are reached", ports(values) == [[6379, 26379]], ports(values))
    plain = merged(values, {"shared": {"mode": "single", "service": "", "urls": ["rediss://tier.example:7000/"]}})
    check("tier: one server is reached at its port", ports(plain) == [[7000]], ports(plain))
    closed = merged(values, {"networkPolicy": {"sharedTo": []}})
    check("tier: an empty list makes no rule", ports(closed) == [], ports(closed))
    own = merged(values, {"shared": {"fleet": "prod-eu"}, "config": {"cache": {"shared": {"expect_replicas": 9}}}})
    got = tomllib.loads(config_of(objects(render(CHART, own))))["cache"]["shared"]
    check("tier: what the operator says counts", (got["fleet"], got["expect_replicas"]) == ("prod-eu", 9), got)
    alone = merged(values, {"shared": {"urls": []}, "config": {"cache": {"shared": None}}})
    check("tier: without urls there is none", "shared" not in config_of(objects(render(CHART, alone))))
    for name, over, sentence in (
        ("a tier without keys", {"shared": {"keys": {"secretName": ""}}}, "shared.keys.secretName must be given"),
        ("a tier in config", {"config": {"cache": {"shared": {"urls": ["rediss://x"]}}}}, "use shared.urls"),
        ("a section without a tier", {"shared": {"urls": []}}, "config.cache.shared needs shared.urls"),
        ("a password in no Secret", {"shared": {"access": {"secretName": ""}}}, "shared.access.password is a key of the Secret"),
        ("a folder of the chart", {"secrets": {"shared-keys": {"secretName": "x"}}}, "secrets.shared-keys has the name of a folder"),
    ):
        refused(CHART, name, merged(values, over), sentence)


def test_teams():
    values = load(HERE / "values/teams.yaml")
    documents = shared("teams", values)
    maps = {document["metadata"]["name"]: document["data"] for document in pick(documents, "ConfigMap")}
    check("teams: a ConfigMap for the file that is in the values", maps.keys() == {"demo-sidemint", "demo-sidemint-team-shop"}, maps.keys())
    text = maps["demo-sidemint-team-shop"]["shop.toml"]
    check("teams: the file arrives unchanged", text.strip() == values["teams"]["shop"]["file"].strip(), text)
    volume = next(volume for volume in pod_of(documents)["spec"]["volumes"] if volume["name"] == "sidemint-teams")
    sources = [source["configMap"] for source in volume["projected"]["sources"]]
    files = {source["name"]: [item["path"] for item in source["items"]] for source in sources}
    check("teams: each file has its place", files == {"demo-sidemint-team-shop": ["shop.toml"], "news-chat": ["news.toml"]}, files)
    check("teams: a team that is missing keeps no pod from its start", all(source["optional"] for source in sources))
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(documents)["volumeMounts"]}
    folder = tomllib.loads(config_of(documents))["teams_dir"]
    check("teams: files are where the binary looks", mounts["sidemint-teams"] == folder, mounts)

    def checksum(over):
        return pod_of(objects(render(CHART, merged(values, over))))["metadata"]["annotations"]["checksum/config"]

    check("teams: a changed file does not roll the pods", checksum({"teams": {"shop": {"file": "# none"}}}) == checksum({}))
    check("teams: a changed grant does", checksum({"grants": {"shop": {"requests": "9/s"}}}) != checksum({}))
    for name, over, *sentences in (
        ("grants in config", {"config": {"teams": {"x": {}}, "teams_dir": "/x"}}, "config.teams is set by the chart: use grants", "config.teams_dir is set by the chart"),
        ("a grant without a file", {"grants": {"blog": {"hosts": ["chat.blog.example"]}}}, "grants.blog has no file"),
        ("a file without a grant", {"teams": {"blog": {"configMap": "x"}}}, "teams.blog has no grant"),
        ("two files of a team", {"teams": {"shop": {"configMap": "x"}}}, "teams.shop must have one of file and configMap"),
        ("no file of a team", {"teams": {"news": {"configMap": ""}}}, "teams.news must have one of file and configMap"),
        ("gRPC beside teams", {"grpc": {"enabled": True}}, "grants and grpc.enabled cannot stand together"),
        ("a tier beside teams", {"shared": {"urls": ["rediss://x"], "keys": {"secretName": "x"}}}, "grants and shared.urls cannot stand together"),
        ("a team's secrets that are not mounted", {"grants": {"news": {"secrets": "/run/secrets/sidemint/news"}}}, "grants.news.secrets is", "secrets.news is not given"),
        ("the folder of teams in a variable", {"env": {"SIDEMINT_TEAMS_DIR": "/x"}}, "env.SIDEMINT_TEAMS_DIR is set by the chart"),
        ("all secrets for one team", {"grants": {"news": {"secrets": "/run/secrets/sidemint"}}}, "at '/grants/news/secrets'"),
        ("an unknown key of a grant", {"grants": {"news": {"host": "x"}}}, "'host' not allowed"),
    ):
        refused(CHART, name, merged(values, over), *sentences)


def test_monitoring():
    """Alerts and dashboard arrive as they are in the files, which tests/monitoring judges."""
    groups = load(CHART / "files/alerts.yaml")["groups"]
    board = (CHART / "files/dashboard.json").read_text().strip()
    names = list(dict.fromkeys(rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule))
    values = merged(load(HERE / "values/shared.yaml"), {"ops": {"expose": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}})
    documents = objects(render(CHART, values))
    well_formed("monitoring", documents)
    rules = pick(documents, "PrometheusRule")[0]
    check("monitoring: the rules are those of the file", rules["spec"]["groups"] == groups)
    shown = pick(documents, "ConfigMap")[1]
    check("monitoring: the dashboard is that of the file", shown["data"] == {"sidemint.json": board + "\n"})
    check("monitoring: Grafana finds the dashboard", shown["metadata"]["labels"]["grafana_dashboard"] == "1")
    check("monitoring: nothing without being asked for", len(objects(render(CHART, load(HERE / "values/shared.yaml")))) == len(documents) - 2)
    sidecar = merged(load(HERE / "values/sidecar.yaml"), {"ops": {"expose": True}, "prometheusRule": {"enabled": True}})
    kinds = [document["kind"] for document in objects(render(CHART, sidecar))]
    check("monitoring: a sidecar's rules", kinds == ["ConfigMap", "PrometheusRule"], kinds)

    # Every value away from its default; of the alerts only those that need no room here.
    kept = {"SidemintAbsent", "SidemintNotReady"}
    own = {
        "prometheusRule": {
            "labels": {"release": "prometheus"},
            "namespace": "monitoring",
            "runbookUrl": "https://runbooks.example.com/",
            "disabled": [name for name in names if name not in kept],
        },
        "dashboard": {"labels": {"grafana_dashboard": "chat"}, "annotations": {"grafana_folder": "Chat"}, "namespace": "grafana"},
    }
    texts = render(CHART, merged(values, own))
    parts = {path: text.replace(textwrap.indent(board, " " * 4), "    (files/dashboard.json)") for path, text in texts.items()}
    golden("monitoring", {path: text for path, text in parts.items() if path.endswith(("prometheusrule.yaml", "dashboard.yaml"))})
    rules = pick(objects(texts), "PrometheusRule")[0]
    left = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    check("monitoring: alerts are switched off by name", {rule["alert"] for rule in left} == kept, left)
    urls = {rule["annotations"]["runbook_url"] for rule in left}
    check("monitoring: the runbooks are the operator's", urls == {f"https://runbooks.example.com/{name}.md" for name in kept}, urls)
    misspelt = {"prometheusRule": {"disabled": ["SidemintVersion"]}}
    refused(CHART, "an alert that is none", merged(values, misspelt), "holds SidemintVersion, which is no alert")
    refused(CHART, "runbooks without a slash", merged(values, {"prometheusRule": {"runbookUrl": "https://x.example"}}), "at '/prometheusRule/runbookUrl'")


def with_definition(values, text):
    values = merged(values, {"definitions": {"parley": text}})
    values["config"]["providers"] = {"chat": {"preset": "parley", "api_key_file": "/run/secrets/sidemint/sendsar/api-key"}}
    return values


def parley():
    """The worked example of docs/providers/write-a-definition.md."""
    page = (ROOT / "docs/providers/write-a-definition.md").read_text()
    return page.split("```toml,definition\n")[1].split("```")[0]


def test_definitions():
    values = with_definition(load(HERE / "values/shared.yaml"), parley())
    texts = render(CHART, values)
    documents = objects(texts)
    well_formed("definitions", documents)
    data = pick(documents, "ConfigMap")[0]["data"]
    check("definitions: the text arrives unchanged", data["definition.parley.toml"].strip() == parley().strip())
    env = {entry["name"]: entry["value"] for entry in container_of(documents)["env"]}
    volume = next(volume for volume in pod_of(documents)["spec"]["volumes"] if volume["name"] == "sidemint-config")
    paths = {item["key"]: item["path"] for item in volume["configMap"]["items"]}
    check("definitions: every key has its place", paths.keys() == data.keys(), paths)
    mounted = "/etc/sidemint/" + paths["definition.parley.toml"]
    check("definitions: they are where the binary looks", mounted == env["SIDEMINT_DEFINITIONS"] + "/parley.toml")
    changed = objects(render(CHART, with_definition(load(HERE / "values/shared.yaml"), parley() + "# changed")))
    sums = [pick(found, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"] for found in (documents, changed)]
    check("definitions: a change rolls the pods", sums[0] != sums[1])


def test_page():
    """The values that docs/kubernetes.md prints: whole files as they stand, parts on top of the least that is needed."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    blocks = [textwrap.dedent(text) for text in re.findall(r"^ *```yaml\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)]
    known = load(CHART / "values.yaml")
    values = [value for value in (yaml.safe_load(text) for text in blocks if "{{" not in text) if set(value) <= set(known)]
    check("page: it prints values", len(values) >= 4, len(values))
    base = merged(load(HERE / "values/shared.yaml"), {"secrets": {"parley": {"secretName": "parley"}}})
    for number, printed in enumerate(values):
        whole = "image" in printed
        documents = objects(render(CHART, printed if whole else merged(base, printed)))
        well_formed(f"page, values {number + 1}", documents)
        if whole:
            configuration(f"page, values {number + 1}", printed, config_of(documents))


def test_sidecar():
    values = load(HERE / "values/sidecar.yaml")
    texts = render(CHART, values)
    documents = objects(texts)
    golden("sidecar", texts)
    well_formed("sidecar", documents)
    configuration("sidecar", values, config_of(documents))
    check("sidecar: the ConfigMap and nothing else", [document["kind"] for document in documents] == ["ConfigMap"])
    server = tomllib.loads(config_of(documents))["server"]
    check("sidecar: listens on loopback only", server["listen"].startswith("127.0.0.1:"))


def example(folder):
    """A copy of examples/app with its dependency built, as `helm dependency build` does it."""
    shutil.copytree(CHART, folder / "helm")
    app = folder / "helm/examples/app"
    helm.dependency_build(app, skip_refresh=True)
    return app


def test_app(app):
    for name, values in (("app-example", {}), ("app", load(HERE / "values/app.yaml"))):
        texts = render(app, values)
        documents = objects(texts)
        golden(name, texts)
        well_formed(name, documents)
        pod = pod_of(documents)
        secure_pod(name, pod)
        secure_container(name, container_of(documents), None if name == "app" else 65532)
        started = pod["spec"]["initContainers"]
        native = [c["name"] for c in started] == ["sidemint"] and started[0]["restartPolicy"] == "Always"
        check(f"{name}: a native sidecar", native)
        check(f"{name}: readiness", ("readinessProbe" in started[0]) == (name == "app-example"))
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "sidemint-config")
        made = {document["metadata"]["name"] for document in pick(documents, "ConfigMap")}
        check(f"{name}: mounts the ConfigMap of the dependency", volume["configMap"]["name"] in made)
        mounts = {mount["name"] for mount in started[0]["volumeMounts"]}
        check(f"{name}: every mount has its volume", mounts <= {volume["name"] for volume in pod["spec"]["volumes"]})
        check(f"{name}: a changed configuration rolls the pods", "checksum/sidemint-config" in pod["metadata"]["annotations"])
    refused(app, "shared form in a pod", {"sidemint": {"mode": "shared", "config": {"identity": {"peers": {"networks": ["10.0.0.0/8"]}}}}}, "mode: sidecar")


def test_rollout():
    base = load(HERE / "values/shared.yaml")

    def checksum(over):
        return pod_of(objects(render(CHART, merged(base, over))))["metadata"]["annotations"]["checksum/config"]

    check("a changed configuration rolls the pods", checksum({"config": {"log": {"level": "debug"}}}) != checksum({}))
    check("another number of replicas does not", checksum({"replicas": 5}) == checksum({}))
    alone = objects(render(CHART, merged(base, {"replicas": 1})))
    check("one replica has no disruption budget", not pick(alone, "PodDisruptionBudget"))
    closed = objects(render(CHART, merged(base, {"networkPolicy": {"from": [], "dnsTo": [], "egress": []}})))
    policy = pick(closed, "NetworkPolicy")[0]["spec"]
    check("empty lists let nothing through", not policy["ingress"] and not policy["egress"])
    # Paths that some charts forget: they must render, and fit.
    rest = {"networkPolicy": {"enabled": False}, "serviceAccount": {"create": False}, "runAsUser": None}
    well_formed("with things switched off", objects(render(CHART, merged(base, rest))))


# ---- What must be refused ----


def refused(chart, name, values, *sentences):
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.render(values, name="demo", namespace="prod")
        check(f"refused: {name}", False, "it was rendered")
    except helm.HelmError as error:
        missing = [sentence for sentence in sentences if sentence not in str(error)]
        check(f"refused: {name}", not missing, f"{missing} not in: {error}")


def test_refusals():
    base = load(HERE / "values/shared.yaml")
    peers = lambda networks: {"config": {"identity": {"peers": {"networks": networks}}}}  # noqa: E731
    refused(
        CHART,
        "no values at all, with all complaints at once",
        {},
        "config.identity.source must be given",
        "config.identity.peers.networks must be given",
        "config.routes must be given",
        "config.providers must be given",
    )
    sidecar = merged(load(HERE / "values/sidecar.yaml"), {"tls": {"secretName": "x"}})
    refused(CHART, "TLS in a sidecar", sidecar, "tls is for the shared form")
    local = {"providers": {"chat": {"preset": "local", "api_key_file": None}}}
    cases = [
        ("no image", {"image": {"repository": ""}}, "image.repository must be given"),
        ("no peer believed", peers([]), "config.identity.peers.networks must be given"),
        ("every peer believed", peers(["0.0.0.0/0"]), "0.0.0.0/0, which trusts every peer"),
        ("every peer believed, IPv6", peers(["::/0"]), "::/0, which trusts every peer"),
        ("listen in config", {"config": {"server": {"listen": "0.0.0.0:1234"}}}, "use port and bindAddress"),
        ("ops in config", {"config": {"ops": {"listen": "0.0.0.0:1234"}}}, "use ops.port and ops.expose"),
        ("gRPC in config", {"config": {"grpc": {"listen": "0.0.0.0:1234"}}}, "use grpc.enabled and grpc.port"),
        ("gRPC without a listener", {"config": {"grpc": {"route": "/auth"}}}, "config.grpc needs grpc.enabled"),
        ("drain in config", {"config": {"server": {"drain_timeout": "9s"}}}, "use drain.timeoutSeconds"),
        ("a secret that is not mounted", {"config": {"providers": {"chat": {"api_key_file": "/run/secrets/sidemint/other/key"}}}}, "secrets.other is not given"),
        ("a certificate that is not mounted", {"config": {"server": {"tls": {"cert_file": "/run/secrets/sidemint/tls/tls.crt"}}}}, "config.server.tls.cert_file is", "secrets.tls is not given"),
        ("a peer's secret that is not mounted", {"config": {"identity": {"peers": {"secret_files": ["/run/secrets/sidemint/sendsar/x", "/run/secrets/sidemint/web/x"]}}}}, "config.identity.peers.secret_files[1] is", "secrets.web is not given"),
        ("two words for TLS", {"tls": {"secretName": "x"}, "config": {"server": {"tls": {"cert_file": "/tls.crt"}}}}, "config.server.tls and tls.secretName both"),
        ("authorities without a certificate", {"tls": {"clientCa": "ca.crt"}}, "tls.secretName, which is not given"),
        ("two words for a proof", {"peers": {"secret": {"secretName": "x", "keys": ["a"]}}, "config": {"identity": {"peers": {"secret_files": ["/a"]}}}}, "config.identity.peers.secret_files and peers.secret both"),
        ("a proof without keys", {"peers": {"hmac": {"secretName": "x"}}}, "peers.hmac.keys must be given"),
        ("keys without a Secret", {"peers": {"hmac": {"keys": ["a"]}}}, "peers.hmac.secretName must be given"),
        ("a folder of the chart's own", {"tls": {"secretName": "x"}, "secrets": {"tls": {"secretName": "y"}}}, "secrets.tls has the name of a folder"),
        ("a key that is a path", {"peers": {"secret": {"secretName": "x", "keys": ["../a"]}}}, "at '/peers/secret/keys/0'"),
        ("a secret in the environment", {"env": {"SENDSAR_API_KEY": "sk_x"}}, "env.SENDSAR_API_KEY looks like a secret"),
        ("the chart's own variable", {"env": {"SIDEMINT_CONFIG": "/x"}}, "env.SIDEMINT_CONFIG is set by the chart"),
        ("replicas with keys of their own", {"config": local}, "every replica would sign with a key of its own"),
        ("a monitor of nothing", {"podMonitor": {"enabled": True}}, "podMonitor.enabled needs ops.expose"),
        ("alerts on nothing", {"prometheusRule": {"enabled": True}}, "prometheusRule.enabled needs ops.expose"),
        # By the schema:
        ("an unknown key", {"replicaCount": 2}, "additional properties 'replicaCount' not allowed"),
        ("an unknown key below", {"image": {"repo": "x"}}, "at '/image'", "'repo' not allowed"),
        ("a wrong mode", {"mode": "daemon"}, "at '/mode'", "'shared', 'sidecar'"),
        ("a wrong type", {"replicas": "two"}, "at '/replicas'", "want integer"),
        ("no replicas", {"replicas": 0}, "at '/replicas'", "minimum"),
        ("a privileged port", {"port": 80}, "at '/port'", "minimum: got 80, want 1,024"),
        ("root", {"runAsUser": 0}, "at '/runAsUser'", "minimum"),
        ("a digest that is none", {"image": {"digest": "latest"}}, "at '/image/digest'"),
        ("a secret without a name", {"secrets": {"x": {}}}, "missing property 'secretName'"),
        ("a number in the environment", {"env": {"SIDEMINT_SERVER__WORKERS": 2}}, "want string"),
        ("a peer that is every address", {"networkPolicy": {"from": [{}]}}, "at '/networkPolicy/from/0'"),
    ]
    for name, over, *sentences in cases:
        refused(CHART, name, merged(base, over), *sentences)
    with helm.Chart.load(CHART) as chart:
        trusting = merged(base, {"config": {"identity": {"peers": {"insecure_trust_every_peer": True}}}})
        chart.render(merged(trusting, peers(["0.0.0.0/0"])))
        check("believing every peer takes the flag that says insecure", True)


@contextlib.contextmanager
def quiet():
    """The engine logs each `fail` it passes over while it lints; what lint finds comes back as data."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_lint(app):
    for name, chart, values in (
        ("defaults", CHART, {}),
        ("shared", CHART, load(HERE / "values/shared.yaml")),
        ("shared-full", CHART, load(HERE / "values/shared-full.yaml")),
        ("proofs", CHART, load(HERE / "values/proofs.yaml")),
        ("monitoring", CHART, merged(load(HERE / "values/shared-full.yaml"), {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}})),
        ("webhooks", CHART, load(HERE / "values/webhooks.yaml")),
        ("gateway", CHART, load(HERE / "values/gateway.yaml")),
        ("teams", CHART, load(HERE / "values/teams.yaml")),
        ("sidecar", CHART, load(HERE / "values/sidecar.yaml")),
        ("app", app, {}),
    ):
        with quiet():
            report = helm.lint(chart, values, strict=True, kube_version=f"v{KUBERNETES[0]}.0")
        check(f"lint: {name}", report["total_charts_linted"] == 1 and not report["errors"], report["errors"])


def test_schema_and_values_agree():
    """A key is in both files or in neither, and no object takes keys without a description."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def walk(path, described, values):
        if "properties" not in described:
            return
        check(f"schema: {path or 'top'} is closed", described.get("additionalProperties") is False)
        known = set(described["properties"]) - (PARENT_KEYS if not path else set())
        complete = path.startswith(("resources.", "affinity")) or known == set(values)
        check(f"schema: {path or 'top'} has the keys of values.yaml", complete, known ^ set(values))
        for key in known & set(values):
            if isinstance(values[key], dict):
                walk(f"{path}{key}.", described["properties"][key], values[key])

    walk("", schema, load(CHART / "values.yaml"))


# ---- The binary's own judgement ----


def certificate():
    """A certificate of its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sidemint.prod")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    return (
        builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(key, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def mounted(folder):
    """What the Secrets of values/proofs.yaml hold, below `folder`."""
    cert, key = certificate()
    files = {"tls/tls.crt": cert, "tls/ca.crt": cert, "tls/tls.key": key, "sendsar/api-key": b"sk_live_" + b"0" * 48}
    files |= {"sendsar/webhook-secret": b"whsec_" + b"0" * 48, "sendsar/forward-key": b"whsec_" + base64.b64encode(b"0" * 32)}
    files |= {"livekit/api-secret": b"s" * 32, "livekit/sendsar-api-key": b"sk_live_" + b"0" * 48, "callers/shop": base64.urlsafe_b64encode(b"0123456789abcdef0123456789abcdef").rstrip(b"=")}
    files |= {"shop/api-key": b"sk_live_" + b"0" * 48, "shop/proxy-secret": b"s" * 32}
    files |= {path: path.encode().ljust(32, b".") for path in ("peer-secret/current", "peer-secret/next", "peer-hmac/shop.key")}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def test_binary(binary, folder, app):
    run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=60)
    renders = {name: (CHART, load(HERE / f"values/{name}.yaml")) for name in ("shared", "shared-full", "proofs", "webhooks", "gateway", "sidecar", "teams")}
    renders["app-example"] = (app, {})
    renders["definitions"] = (CHART, with_definition(load(HERE / "values/shared.yaml"), parley()))
    for name, (chart, values) in renders.items():
        documents = objects(render(chart, values))
        text = config_of(documents)
        path = folder / f"{name}.toml"
        if name == "teams":
            text = text.replace("/etc/sidemint-teams", str(folder))
            (folder / "shop.toml").write_text(pick(documents, "ConfigMap")[1]["data"]["shop.toml"])
            # As another team may have written it.
            (folder / "news.toml").write_text((folder / "shop.toml").read_text().replace("secret_files", "networks").replace('"proxy-secret"', '"127.0.0.0/8"').replace('"sendsar"\napi_key_file = "api-key"', '"local"\npublic_api_url = "https://chat.news.example/v1"\nissuer = "sidemint"\naudience = "chat"'))
        if name in ("proofs", "webhooks", "gateway", "teams"):
            mounted(folder / "mounted")
            text = text.replace("/run/secrets/sidemint", str(folder / "mounted"))
        path.write_text(text)
        # Set as in the pod, and with files of ours where the pod has its mounts.
        env = {"SIDEMINT_OPS__LISTEN": "127.0.0.1:9090"}
        if pick(documents, "Deployment") or pick(documents, "StatefulSet"):
            env.update((entry["name"], entry["value"]) for entry in container_of(documents)["env"])
        if "SIDEMINT_DEFINITIONS" in env:
            own = folder / f"{name}-definitions"
            own.mkdir()
            data = pick(documents, "ConfigMap")[0]["data"]
            (own / "parley.toml").write_text(data["definition.parley.toml"])
            env["SIDEMINT_DEFINITIONS"] = str(own)
        for provider, settings in tomllib.loads(text).get("providers", {}).items():
            for key in settings.keys() & {"key_file", "api_key_file"}:
                secret = folder / f"{name}-{provider}-{key}"
                made = run([binary, "keygen", "--alg", settings.get("alg", "EdDSA")]) if key == "key_file" else None
                secret.write_text(made.stdout if made else "sk_live_" + "0" * 48)
                env[f"SIDEMINT_PROVIDERS__{provider.upper()}__{key.upper()}"] = str(secret)
        env.pop("SIDEMINT_CONFIG", None)
        answer = run([binary, "check", "--config", path], env=env)
        check(f"binary: {name} passes check", answer.returncode == 0, answer.stdout + answer.stderr)
        if name == "proofs":
            told = [word for word in ("spiffe://cluster.local/ns/ingress", "one of 2", "signed request") if word not in answer.stdout]
            check("binary: proofs are told", not told, f"{told} not in {answer.stdout}")
        path.write_text(text + "\n[server.nonsense]\nkey = 1\n")
        answer = run([binary, "check", "--config", path], env=env)
        check(f"binary: {name} with an unknown key does not", answer.returncode == 2 and "nonsense" in answer.stderr, answer.stderr)
    # The probes' command, where nothing listens: unhealthy (1), not misconfigured (2).
    command = container_of(objects(render(*renders["shared"])))["readinessProbe"]["exec"]["command"][1:]
    answer = run([binary, *command], env={"SIDEMINT_OPS__LISTEN": "127.0.0.1:1"})
    check("binary: the probe needs no configuration file", answer.returncode == 1, f"{answer.returncode} {answer.stderr}")


def main():
    binary = os.environ.get("SIDEMINT_BIN")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        app = example(folder)
        test_shared()
        test_shared_full()
        test_proofs()
        test_webhooks()
        test_gateway()
        test_tier()
        test_teams()
        test_monitoring()
        test_definitions()
        test_page()
        test_sidecar()
        test_app(app)
        test_rollout()
        test_refusals()
        test_lint(app)
        test_schema_and_values_agree()
        if binary:
            test_binary(pathlib.Path(binary).resolve(), folder, app)
        elif os.environ.get("CI"):
            check("SIDEMINT_BIN is given, as CI must", False)
        else:
            print("note: SIDEMINT_BIN is not set, so `sidemint check` judged nothing")
    print(f"chart: {passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

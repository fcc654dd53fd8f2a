"""A real Prometheus scrapes real processes, two of each job: one job in which all is well, and one for each kind of trouble. Rules
are those of the chart with every span a sixtieth as long: what takes a quarter of an hour takes fifteen seconds here.

    SIDEMINT_BIN=target/debug/sidemint .tools/venv/bin/python tests/monitoring/test_live.py
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

import yaml
from fleet import Fleet, fetch, free_port
from monitoring import ROOT, RULES, check, filled, queries, rules, selectors, summary

# What must fire in each job; anything else there is a false alarm.
BUDGET = {"SidemintErrorBudgetFast", "SidemintErrorBudgetSlow"}
EXPECTED = {
    "normal": set(),
    "provider-down": {"SidemintProviderDown"} | BUDGET,
    "wrong-key": {"SidemintProviderCredential"} | BUDGET,
    "spoofing": {"SidemintSpoofing"},
    "bad-secret": {"SidemintSecretRejected"},
    "hooks": {"SidemintWebhookTargetDown", "SidemintWebhookRefused"},
    "calls": {"SidemintGatewayCredential", "SidemintGatewayRefuses"},
    "alone": {"SidemintSharedDown"},
    "teams": {"SidemintTeamDown"},
    "gone": {"SidemintAbsent"},
}
# All of it takes half a minute on two busy cores.
DEADLINE = 100.0
# What ends as soon as its runbook is followed, without a restart.
MENDED = {("wrong-key", "SidemintProviderCredential"), ("calls", "SidemintGatewayCredential"), ("spoofing", "SidemintSpoofing")}


def shortened(text):
    """The rules with every span a sixtieth as long."""
    milliseconds = {"m": 1000, "h": 60_000, "d": 1_440_000}

    def short(found):
        return f"{found[1]}{int(found[2]) * milliseconds[found[3]]}ms{found[4]}"

    text = re.sub(r"(\[)(\d+)([mhd])(\])", short, text)
    return re.sub(r"(for: )(\d+)([mhd])($)", short, text, flags=re.MULTILINE)


class Prometheus:
    def __init__(self, folder, targets, container):
        (folder / "alerts.yaml").write_text(shortened(RULES.read_text()))
        groups = [{"targets": [address], "labels": {"namespace": "prod", "pod": pod, "job": job}} for job, pod, address in targets]
        configuration = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {"job_name": "sidemint", "static_configs": groups},
                {"job_name": "kubelet", "honor_labels": True, "static_configs": [{"targets": [container]}]},
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            ["prometheus", "--config.file", folder / "prometheus.yaml", "--storage.tsdb.path", folder / "data",
             "--web.listen-address", self.address, "--log.level=error"],
        )  # fmt: skip

    def api(self, path, **query):
        answer = json.loads(fetch(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression):
        return self.api("query", query=expression)["result"]


def active(prometheus):
    """Alerts that are pending or firing at this moment: by job and name."""
    return {(alert["labels"].get("job"), alert["labels"]["alertname"]) for alert in prometheus.api("alerts")["alerts"]}


def ever(seen, prometheus):
    """Adds the alerts of this moment to those that were ever seen: by job and name, pending or firing."""
    for alert in prometheus.api("alerts")["alerts"]:
        key = (alert["labels"].get("job"), alert["labels"]["alertname"])
        if key not in seen:
            notes = alert["annotations"].values()
            bad = [note for note in notes if "error expanding" in note or "{{" in note]
            check(f"live: annotations of {key[1]} are written out", not bad, bad)
        seen[key] = "firing" if "firing" in (alert["state"], seen.get(key)) else "pending"


def test_alerts(fleet, prometheus):
    wanted = {(job, name) for job, names in EXPECTED.items() for name in names}
    seen, deadline = {}, time.monotonic() + DEADLINE
    # Counters must be seen before they grow, and a job before it goes.
    while len(prometheus.value("sidemint_build_info")) < 2 * len(EXPECTED) and time.monotonic() < deadline:
        fleet.drive()
    fleet.trouble()
    while time.monotonic() < deadline:
        fleet.drive()
        ever(seen, prometheus)
        if wanted <= {key for key, state in seen.items() if state == "firing"}:
            break
    for job, names in EXPECTED.items():
        fired = {name for (own, name), state in seen.items() if own == job and state == "firing"}
        check(f"live: {job}: these fire", names <= fired, f"{names - fired} do not fire; seen: {seen}")
        alarms = {name for own, name in seen if own == job}
        check(f"live: {job}: and no others", alarms <= names, alarms - names)
    check("live: no alert is of another job", {job for job, _ in seen} <= set(EXPECTED), seen)
    ill = [rule["name"] for group in prometheus.api("rules")["groups"] for rule in group["rules"] if rule["health"] != "ok"]
    check("live: all rules are evaluated", not ill, ill)


def test_mended(fleet, prometheus):
    fleet.mend()
    deadline = time.monotonic() + DEADLINE
    while MENDED & active(prometheus) and time.monotonic() < deadline:
        fleet.drive()
    left = MENDED & active(prometheus)
    check("live: what is mended is quiet", not left, left)


def test_board(prometheus):
    for title, query in queries():
        result = prometheus.value(filled(query, interval="20s"))
        good = [sample for sample in result if sample["value"][1] != "NaN"]
        check(f"live: panel {title} has data", good, query)
    for variable in ("job", "namespace", "pod", "route", "provider", "team"):
        values = prometheus.api(f"label/{variable}/values")
        check(f"live: variable {variable} has values", values)


def test_metrics(fleet):
    """What the binary has: metrics in good form, and every value that an expression matches by name."""
    texts = [fetch(f"http://{address}/metrics") for _, _, address in fleet.targets() if fleet.is_up(address)]
    for text in texts[:3]:
        answer = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        check("live: promtool takes the metrics", answer.returncode == 0, answer.stdout + answer.stderr)
    values = {}
    for text in texts:
        for name, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
            for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
                values.setdefault((name, label), set()).add(value)
    rows = re.findall(r"^\| `sidemint_gateway_.*", (ROOT / "docs/observability.md").read_text(), re.MULTILINE)
    codes = (ROOT / "docs/errors.md").read_text().split("\n## On the gateway\n")[1]
    words = re.findall(r"`(\w+)`", "".join(rows) + codes)
    expressions = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
    expressions += [(f"panel {title}", filled(query)) for title, query in queries()]
    for where, expression in expressions:
        for name, matchers, _ in selectors(expression)[0]:
            for label, _, pattern in matchers:
                if not name.startswith("sidemint_") or ":" in name or pattern in (".+", ".*"):
                    continue
                # The gateway's counters begin with their first call; its words are those of pages that tests compare with it.
                known = values.get((name, label), set()) | (set(words) if name.startswith("sidemint_gateway_") else set())
                for word in pattern.split("|"):
                    check(f"live: {where}: {name} has {label}={word}", [value for value in known if re.fullmatch(word, value)], known)


def main():
    binary = pathlib.Path(os.environ.get("SIDEMINT_BIN", ROOT / "target/debug/sidemint")).resolve()
    # Not in a folder for temporary files, which may be in memory: the queue would rightly be called not durable.
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder, Fleet(pathlib.Path(folder)) as fleet:
        fleet.begin(binary, EXPECTED)
        prometheus = Prometheus(pathlib.Path(folder), fleet.targets(), fleet.address)
        fleet.ends(prometheus.process)
        fleet.wait_for(prometheus.address + "/-/ready")
        begin = time.monotonic()
        test_alerts(fleet, prometheus)
        print(f"live: all alerts after {time.monotonic() - begin:.0f} s")
        test_board(prometheus)
        test_mended(fleet, prometheus)
        print(f"live: mended after {time.monotonic() - begin:.0f} s")
        test_metrics(fleet)
    return summary("live")


if __name__ == "__main__":
    sys.exit(main())

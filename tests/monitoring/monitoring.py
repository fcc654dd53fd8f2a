"""What the tests of alerts and dashboard share: the files, what the documents say that `/metrics` has, and counting."""

import json
import pathlib
import re

import promql_parser as promql
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "helm/files/alerts.yaml"
BOARD = ROOT / "helm/files/dashboard.json"
# Labels that Prometheus and Kubernetes give to every series, and the one that every series of a team has.
GIVEN = {"namespace", "job", "pod", "instance", "team"}
# Series of the kubelet (cAdvisor): the process does not tell its own CPU and memory.
CONTAINER = {"container_cpu_usage_seconds_total": {"container"}, "container_memory_working_set_bytes": {"container"}}

passed, failed = 0, []


def check(name, good, detail=""):
    global passed
    if good:
        passed += 1
    else:
        failed.append(name)
        print(f"FAILED {name}" + (f"\n       {detail}" if detail else ""))


def summary(part):
    print(f"{part}: {passed} passed, {len(failed)} failed")
    return 1 if failed else 0


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def board():
    return json.loads(BOARD.read_text())


def queries():
    """Title of the panel and expression, of each query of the dashboard."""
    return [(panel["title"], target["expr"]) for panel in board()["panels"] for target in panel.get("targets", [])]


def filled(query, job=".+", interval="5m"):
    """A query of the dashboard as Grafana sends it, with everything chosen but the job."""
    values = {"job": job, "namespace": ".*", "pod": ".*", "route": ".*", "provider": ".*", "team": ".*", "__rate_interval": interval}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], query)


def documented():
    """Labels of every series of `/metrics`, by its name, as docs/observability.md says. A test of ours compares that page with
    the binary."""
    series = {}
    page = (ROOT / "docs/observability.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE):
        labels = set(re.findall(r"`(\w+)`", labels))
        for end in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            series[name + end] = (kind, labels | ({"le"} if end == "_bucket" else set()))
    return series


def selectors(expression):
    """Name, matchers and enclosing functions of each selector of an expression, and the labels that it groups or joins by."""
    found, labels, path = [], set(), []

    def enter(node):
        path.append(node.func.name if isinstance(node, promql.Call) else type(node).__name__)
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            labels.update(node.modifier.matching.labels)
        if isinstance(node, promql.VectorSelector):
            matchers = [(matcher.name, str(matcher.op), matcher.value) for matcher in node.matchers.matchers]
            found.append((node.name, matchers, list(path)))

    def leave(_):
        path.pop()

    promql.walk(promql.parse(expression), enter, leave)
    return found, labels

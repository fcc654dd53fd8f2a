"""Alerts, dashboard and runbooks as files: promtool's lint and unit tests, a second parser, the dashboard linter's rules.

    .tools/venv/bin/python tests/monitoring/test_rules.py
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import promql_parser as promql
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cases import CASES
from monitoring import BOARD, CONTAINER, GIVEN, ROOT, RULES, alerts, board, check, documented, filled, queries, rules, selectors, summary

RUNBOOKS = ROOT / "docs/runbooks"
SEVERITIES = ("warning", "critical", "info")


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)


# ---- Rules ----


def test_lint():
    answer = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    check("promtool takes the rules", answer.returncode == 0, answer.stdout + answer.stderr)


def test_cases():
    """Each case has a job that is in trouble and one that nearly is: after `at`, the alerts of the first fire and no others."""
    tests = []
    for case in CASES:
        series = [{"series": "sidemint_build_info" + labels(job, "a", version="1"), "values": "1x600"} for job in ("loud", "quiet")]
        for name, (loud, quiet) in case.series.items():
            metric, own = re.fullmatch(r"(\w+)(?:\{(.*)\})?", name).groups()
            own = dict(re.findall(r'(\w+)="([^"]*)"', own or ""))
            pod = own.pop("pod", "a")
            series += [
                {"series": metric + labels(job, pod, **own), "values": values}
                for job, values in (("loud", loud), ("quiet", quiet))
                if values
            ]
        if case.alone:
            series = series[2:]
        tests.append(
            {
                "interval": "1m",
                "name": case.alert,
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": case.at,
                        "exp_samples": [
                            {"labels": "ALERTS" + braces({"alertname": alert, "alertstate": "firing", "severity": severity} | own), "value": 1}
                            for alert, severity, own in case.expected()
                        ],
                    }
                ],
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "cases.yaml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
        answer = promtool("test", "rules", file)
    check("each alert fires in its case, and no other", answer.returncode == 0, answer.stdout + answer.stderr)
    cased = {(alert, severity) for case in CASES for alert, severity, _ in case.expected()}
    written = {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    check("each alert has a case", cased == written, cased ^ written)


def labels(job, pod, **own):
    return braces({"namespace": "prod", "job": job, "pod": pod, "instance": f"{pod}:9090"} | own)


def braces(values):
    return "{" + ", ".join(f'{name}="{value}"' for name, value in values.items()) + "}"


def test_alerts():
    names = [rule["alert"] for rule in alerts()]
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    check("alerts and runbooks are the same list", pages == set(names), pages ^ set(names))
    for rule in alerts():
        name, notes = rule["alert"], rule["annotations"]
        check(f"{name}: named as ours", re.fullmatch(r"Sidemint[A-Z][A-Za-z]+", name))
        check(f"{name}: a severity", rule["labels"].keys() == {"severity"} and rule["labels"]["severity"] in SEVERITIES)
        check(f"{name}: summary, description, runbook", notes.keys() == {"summary", "description", "runbook_url"}, notes.keys())
        check(f"{name}: no figure in the summary", not re.search(r"\{\{|\d", notes["summary"]), notes["summary"])
        check(f"{name}: the runbook is its own", notes["runbook_url"].endswith(f"/docs/runbooks/{name}.md"), notes["runbook_url"])
        # What a description names must be a label of the alert.
        shown = set(re.findall(r"\$labels\.(\w+)", notes["description"]))
        found, kept = selectors(rule["expr"])
        every = all("AggregateExpr" not in path for _, _, path in found[:1])
        check(f"{name}: the description names labels that are there", shown <= (kept | GIVEN if every else kept), shown - kept)
        check(f"{name}: namespace and job are kept", every or {"namespace", "job"} <= kept or name == "SidemintAbsent", kept)


def test_runbooks():
    for path in RUNBOOKS.glob("Sidemint*.md"):
        text = path.read_text()
        headings = re.findall(r"^#+ .*", text, re.MULTILINE)
        wanted = [f"# {path.stem}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
        check(f"{path.stem}: four headings", headings == wanted, headings)
        parts = re.split(r"^#+ .*\n", text, flags=re.MULTILINE)[2:]
        check(f"{path.stem}: something below each", all(part.strip() for part in parts))
        titles = {panel["title"] for panel in board()["panels"]}
        for sentence in re.findall(r"[Pp]anels? ((?:\*[^*]+\*(?:, | and )?)+)", text):
            named = set(re.findall(r"\*([^*]+)\*", sentence))
            check(f"{path.stem}: panels that it names are there", named <= titles, named - titles)
        # The image has no shell: in the container only the binary runs.
        execs = re.findall(r"kubectl exec .*", text)
        check(f"{path.stem}: needs no shell", all(" -- /usr/local/bin/sidemint " in line for line in execs), execs)
        for expression in re.findall(r"`(sidemint_\w+)", text):
            check(f"{path.stem}: {expression} is a series", expression in documented())


def test_list():
    """The table of docs/runbooks/README.md says of each alert what the rules say."""
    page = (RUNBOOKS / "README.md").read_text()
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\) \| [^|]+ \| (\w+) \| ([\w, ]+) \|$", page, re.MULTILINE)
    told = {name: (span, set(severities.split(", "))) for name, _, span, severities in rows}
    written = {}
    for rule in alerts():
        span, severities = written.setdefault(rule["alert"], (rule.get("for", "0m"), set()))
        severities.add(rule["labels"]["severity"])
    check("the list of alerts is true", told == written, [name for name in written if told.get(name) != written[name]])
    check("the list links to each", all(name == link for name, link, _, _ in rows))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "alerts.yaml").write_text(RULES.read_text())
        (folder / "prometheus.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
        answer = promtool("check", "config", folder / "prometheus.yaml")
    check("Prometheus takes the printed configuration", answer.returncode == 0, answer.stdout + answer.stderr)


# ---- Every expression ----


def test_expressions():
    known = documented()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    expressions = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
    expressions += [(f"panel {title}", filled(query)) for title, query in queries()]
    used = set()
    for where, expression in expressions:
        try:
            promql.parse(expression)
        except ValueError as error:
            check(f"{where}: a second parser reads it", False, error)
            continue
        found, grouped = selectors(expression)
        allowed = set(GIVEN)
        for name, matchers, path in found:
            used.add(name)
            kind, own = known.get(name) or ("", CONTAINER.get(name) or (GIVEN if name in recorded else None))
            check(f"{where}: {name} is a series", own is not None)
            own = set(own or ()) | GIVEN
            allowed |= own
            matched = {label for label, _, _ in matchers}
            check(f"{where}: labels of {name}", matched <= own, matched - own)
            is_counted = kind == "counter" or name.endswith(("_bucket", "_sum", "_count"))
            check(f"{where}: {name} is counted in a span", not is_counted or {"rate", "increase"} & set(path), path)
        check(f"{where}: groups by labels that are there", grouped <= allowed, grouped - allowed)
    shared = [{name for where, e in expressions if where.startswith("panel ") == is_panel for name, _, _ in selectors(e)[0]} for is_panel in (True, False)]
    check("what is recorded is used by alerts and dashboard", recorded <= shared[0] & shared[1], recorded)
    # Series that nothing shows are no use to an operator, but for these: generations, and figures to look up in a case.
    unseen = {name.removesuffix("_bucket") for name in known if not name.endswith(("_sum", "_count"))}
    unseen -= {name.removesuffix("_bucket") for name in used}
    # The tier that replicas share is not served yet: its row and its alerts come with it.
    unseen = {name for name in unseen if not name.startswith("sidemint_shared_")}
    wanted = {
        "sidemint_identity_values_left_out_total",
        "sidemint_credentials_generation",
        "sidemint_tls_generation",
        "sidemint_peer_secrets_generation",
        "sidemint_webhook_queue_bytes",
        "sidemint_webhook_commit_events",
    }
    check("every other series is in an alert or a panel", unseen == wanted, unseen ^ wanted)


# ---- The dashboard ----


def test_board_is_grafana_s():
    plugins.register_default_plugins()
    loaded = Dashboard.from_json(board())
    written = json.dumps(loaded, cls=JSONEncoder, indent=1) + "\n"
    check("Grafana's own library loads the dashboard and writes it back", json.loads(written) == board())
    check("the file is as the library writes it", written == BOARD.read_text())


def test_board_lint():
    """The rules of github.com/grafana/dashboard-linter, which has no package for us; `pod` takes the place of `instance`."""
    own = board()
    check("board: uid", own["uid"] == "sidemint")
    check("board: not editable", own["editable"] is False)
    variables = {variable["name"]: variable for variable in own["templating"]["list"]}
    check("board: variables", list(variables) == ["datasource", "job", "namespace", "pod", "route", "provider", "team"], list(variables))
    source = variables.pop("datasource")
    check("board: the data source is a variable", (source["type"], source["query"]) == ("datasource", "prometheus"))
    uses = {"type": "prometheus", "uid": "${datasource}"}
    for name, variable in variables.items():
        query = variable["query"]["query"]
        found = re.fullmatch(r"label_values\((\w+)(\{[^}]*\})?, (\w+)\)", query)
        check(f"board: {name} is from label_values of a series", found and found[1] in documented() and found[3] == name, query)
        check(f"board: {name} is its series' own", found and name in documented()[found[1]][1] | GIVEN, query)
        check(f"board: {name} follows the time", variable["refresh"] == 2)
        check(f"board: {name} may be several, or all", variable["multi"] and variable["includeAll"] and variable["allValue"] in (".+", ".*"))
        check(f"board: {name} uses the variable data source", variable["datasource"] == uses)
        check(f"board: {name} has a label", variable["label"])
    ids = [panel["id"] for panel in own["panels"]]
    check("board: ids are their own", len(ids) == len(set(ids)))
    rows = [panel["title"] for panel in own["panels"] if panel["type"] == "row"]
    check("board: rows", rows == ["Now", "Users", "Providers", "Identity and keys", "Webhooks", "Gateway", "Teams", "Process"], rows)
    panels = [panel for panel in own["panels"] if panel["type"] != "row"]
    titles = [panel["title"] for panel in panels]
    check("board: titles are their own", len(titles) == len(set(titles)), titles)
    for panel in panels:
        title, field, options = panel["title"], panel["fieldConfig"]["defaults"], panel["options"]
        check(f"panel {title}: title, description and unit", title and panel["description"].endswith(".") and field["unit"])
        check(f"panel {title}: data source", all(part["datasource"] == uses for part in [panel, *panel["targets"]]))
        check(f"panel {title}: queries", panel["targets"])
        # Never colour alone: a legend, or words in the cells.
        said = {
            "timeseries": lambda: options["legend"]["showLegend"],
            "heatmap": lambda: options["legend"]["show"],
            "state-timeline": lambda: options["showValue"] == "always" and all(option["text"] for option in field["mappings"][0]["options"].values()),
            "stat": lambda: options["textMode"] in ("value", "value_and_name"),
            "table": lambda: options["showHeader"],
        }[panel["type"]]
        check(f"panel {title}: colour is never alone", said())
        place = panel["gridPos"]
        check(f"panel {title}: fits", place["x"] + place["w"] <= 24)
        for target in panel["targets"]:
            query = target["expr"]
            spans = set(re.findall(r"\[([^\]]*)\]", query))
            check(f"panel {title}: $__rate_interval", spans <= {"$__rate_interval", "30d"}, spans)
            for name, matchers, _ in selectors(filled(query, job="$job"))[0]:
                asked = {label for label, _, _ in matchers}
                wanted = {"namespace", "pod"} if name in CONTAINER else {"job", "namespace"} if ":" in name else {"job", "namespace", "pod"}
                check(f"panel {title}: {name} is chosen by the variables", wanted <= asked, wanted - asked)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["gridPos"]["h"]) for p in own["panels"]]
    over = [
        (a, b)
        for n, a in enumerate(places)
        for b in places[:n]
        if a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
    ]
    check("board: no panel lies over another", not over, over)


def main():
    test_lint()
    test_cases()
    test_alerts()
    test_runbooks()
    test_list()
    test_expressions()
    test_board_is_grafana_s()
    test_board_lint()
    return summary("rules")


if __name__ == "__main__":
    sys.exit(main())

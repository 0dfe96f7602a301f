"""The table of metrics, the rules and the dashboard name what the code exports, nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from videothinker.process.metrics import EXPORTED

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
RULES = yaml.safe_load((ROOT / "configs" / "prometheus" / "rules.yml").read_text())
PROMETHEUS = yaml.safe_load((ROOT / "configs" / "prometheus" / "prometheus.yml").read_text())
DASHBOARD = json.loads((ROOT / "configs" / "grafana" / "videothinker.json").read_text())
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
ROWS = re.findall(
    r"^\| `(videothinker_\w+)` \| (\w+) \| ([\w, ]*)\| ([\w, ]+) \| \S", PAGE, re.MULTILINE
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULE_LIST = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULE_LIST if "alert" in rule]
RECORDED = {rule["record"] for rule in RULE_LIST if "record" in rule}


def family(metric: Any) -> tuple[str, str]:
    """Name without suffix, and type."""
    [described] = metric.describe()
    return described.name, described.type


def declared() -> dict[str, tuple[str, set[str], set[str]]]:
    """Name as in the table -> type, labels, roles."""
    found: dict[str, tuple[str, set[str], set[str]]] = {}
    for role, metrics in EXPORTED.items():
        for metric in metrics:
            name, kind = family(metric)
            shown = name + "_total" * (kind == "counter")
            entry = found.setdefault(shown, (kind, set(metric._labelnames), set()))
            entry[2].add(role)
    return found


def words(cell: str) -> set[str]:
    return set(re.findall(r"\w+", cell))


def test_the_table_and_the_code_name_the_same_metrics_types_labels_and_roles() -> None:
    table = {name: (kind, words(labels), words(roles)) for name, kind, labels, roles in ROWS}
    assert len(table) == len(ROWS), "a metric is listed twice"
    assert table == declared()


def queryable() -> set[str]:
    series = {
        family(metric)[0] + suffix
        for metrics in EXPORTED.values()
        for metric in metrics
        for suffix in SUFFIXES[family(metric)[1]]
    }
    return series | RECORDED


def unknown(query: str) -> set[str]:
    return set(re.findall(r"[\w:]*videothinker_[\w:]+", query)) - queryable()


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_exists(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_exists_and_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    for target in panel["targets"]:
        assert unknown(target["expr"]) == set()
        assert "$run" in target["expr"]


def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule() -> None:
    text = json.dumps(DASHBOARD) + json.dumps(RULES)
    unseen = {
        name for name, (kind, *_) in declared().items() if not re.search(rf"{name}\W|{name}_", text)
    }
    assert unseen == set()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_where_more_is_written(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert "$labels.run" in annotations["summary"]
    [anchor] = re.findall(r"docs/metrics\.md#(\w+)", annotations["description"])
    assert f"### {rule['alert']}\n" in PAGE
    assert anchor == rule["alert"].lower()


def test_the_table_of_recording_rules_is_complete() -> None:
    listed = PAGE.partition("## Recording rules")[2]
    assert set(re.findall(r"`([\w]+:[\w:]+)`", listed)) == RECORDED


def test_prometheus_looks_where_the_shipped_configurations_write() -> None:
    [job] = PROMETHEUS["scrape_configs"]
    [where] = job["file_sd_configs"]
    configs = [yaml.safe_load(file.read_text()) for file in (ROOT / "configs").glob("*.yaml")]
    outs = {config["out"] for config in configs if "stages" in config}  # a study has many runs
    assert {f"../../{out}/prometheus_targets.json" for out in outs} <= set(where["files"])


def test_no_two_panels_share_a_place_or_a_number() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))

"""A real Prometheus with the shipped files watches a real run; one of its processes is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from attack import is_running
from cli_process import Command
from prometheus_server import CONFIGS, PAGE, Prometheus, copied, programs, serving, wait_until

from cluster.start.roster import Roster
from videothinker.config.kl import KLConfig
from videothinker.config.loading import to_yaml
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import (
    FaultsConfig,
    GuardConfig,
    RolloutConfig,
    RunConfig,
)
from videothinker.files import read_json, read_lines
from videothinker.run.directory import RunDirectory
from videothinker.types import Question

DASHBOARD = CONFIGS.parent / "grafana" / "videothinker.json"
RULES = [
    rule
    for group in yaml.safe_load((CONFIGS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
STEPS, HEALTHY = 40, 20  # rules need a few seconds of scrapes, steps are short
ROLES = {"driver": 1, "loader": 1, "rollout": 1, "anchor": 1, "learner": 1}
STANDING = "videothinker_learner_steps_total"
VALIDATED = "videothinker_validation_accuracy"
"""This run is not validated: the answers would count in what is compared with its steps' lines."""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return programs(tmp_path_factory.mktemp("debian"))


@dataclass(kw_only=True)
class Watched:
    """What Prometheus said at each time."""

    linked: list[set[str]] = field(default_factory=list)
    """Roles of another run, while it lives and when it is over."""
    up: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    """Panels and recording rules without data."""
    healthy_alerts: set[str] = field(default_factory=set)
    lines: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    blamed: dict[str, float] = field(default_factory=dict)
    stalled_alerts: set[str] = field(default_factory=set)
    alert_after: float = 0
    usual_step: float = 0
    alerts_ever: set[str] = field(default_factory=set)
    exit_code: int = -1
    videos: dict[str, int] = field(default_factory=dict)
    """As the summary counts them."""
    targets_left: int = -1


@pytest.fixture(scope="module")
def watched(
    tools: dict[str, str], run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """One run, its anchor stopped for a while in the middle."""
    checkout = tmp_path_factory.mktemp("checkout")
    copied(checkout)
    file = checkout / "config.yaml"
    rewards = checkout / "rewards.py"
    rewards.write_text("def words(completion, question): return len(completion.split())")
    own = (*run_config.rewards, RewardConfig(call=f"{rewards}:words", weight=0.01))
    file.write_text(to_yaml(config(run_config).model_copy(update={"rewards": own})))
    with serving(tools["prometheus"], checkout) as server:
        command = Command("train", file, f"out={checkout / 'runs' / 'cdpo'}")
        try:
            yield watch(server, command, checkout)
        finally:
            for pid in command.living():
                os.kill(pid, signal.SIGKILL)


def config(usual: RunConfig) -> RunConfig:
    """Patient with a stopped process; an untrained model has no reward that a guard could miss."""
    kl = KLConfig(direction="attract", anchor="base", coefficient=0.01)
    stage = usual.stages[1].model_copy(
        update={"name": "only", "steps": STEPS, "kl": kl, "guard": GuardConfig(action="off")}
    )
    return usual.model_copy(
        update={
            "data": usual.data.model_copy(update={"validation": None}),
            "sampling": usual.sampling.model_copy(update={"max_tokens": 8}),
            "learner": usual.learner.model_copy(update={"learning_rate": 1e-6, "save_every": 99}),
            "rollout": RolloutConfig(workers=ROLES["rollout"], max_model_len=512, cache_gb=0.25),
            "faults": FaultsConfig(silent_seconds=300),
            "stages": (stage,),
        }
    )


def seen_elsewhere(server: Prometheus, checkout: Path) -> list[set[str]]:
    """Roles of a run in a folder of its own, linked as the page says; and when it is over."""
    roster = Roster(RunDirectory.create(checkout / "runs" / "second", ""))
    [link] = re.findall(r"^ln -s .*", PAGE.read_text(), re.MULTILINE)
    subprocess.run(["bash", "-c", link], cwd=checkout, check=True)

    def roles() -> set[str]:
        return {found["metric"]["role"] for found in server.query('up{run="second"} == 1')}

    wait_until(lambda: bool(roles()), 30)
    seen = [roles()]
    roster.close()
    wait_until(lambda: not roles(), 30)
    return [*seen, roles()]


def watch(server: Prometheus, command: Command, checkout: Path) -> Watched:
    run = checkout / "runs" / "cdpo"
    seen = Watched(linked=seen_elsewhere(server, checkout))  # while the run starts

    def lines() -> list[dict[str, Any]]:
        assert command.process.poll() is None, command.finish(1)
        return read_lines(run / "metrics.jsonl")

    wait_until(lambda: len(lines()) >= HEALTHY, 180)
    found = server.query('up{job="videothinker",run="cdpo"} == 1')
    roles = [series["metric"]["role"] for series in found]
    seen.up = {role: roles.count(role) for role in roles}
    asked = [(name, query) for name, query in queries() if not query.startswith(VALIDATED)]
    seen.empty = [name for name, query in asked if not server.query(query)]
    seen.healthy_alerts = server.firing()

    [anchor] = [pid for pid in command.living() if is_running(pid, "ray::AnchorScorer")]
    os.kill(anchor, signal.SIGSTOP)
    try:
        wait_until(lambda: server.value(STANDING) == len(lines()) and still(server), 30)
        seen.lines = lines()
        seen.figures = {expression: server.value(expression) for expression in FIGURES}
        usual = server.value("videothinker_usual_step_seconds")
        assert usual is not None
        seen.usual_step = usual
        seen.alert_after = wait_until(lambda: "NoProgress" in server.firing(), 10 * usual + 60)
        seen.stalled_alerts = server.firing()
        seen.blamed = {
            series["metric"]["state"]: float(series["value"][1])
            for series in server.query(
                'rate(videothinker_role_seconds_total{run="cdpo",role="learner"}[10s])'
            )
        }
    finally:
        os.kill(anchor, signal.SIGCONT)
    wait_until(lambda: not server.firing(), 60)
    seen.exit_code, _, _ = command.finish()
    seen.videos = read_json(run / "summary.json")["videos"]
    wait_until(lambda: not server.query('up{job="videothinker"}'), 30)
    seen.targets_left = len(server.ask("api/v1/targets")["activeTargets"])
    ever = server.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[10m]))')
    seen.alerts_ever = {series["metric"]["alertname"] for series in ever}
    return seen


def still(server: Prometheus) -> bool:
    """Whether nobody has worked for some seconds, so that all was scraped."""
    return (
        server.value(
            "sum(increase(videothinker_role_seconds_total{state='busy',role!='anchor'}[4s]))"
        )
        == 0
    )


def queries() -> list[tuple[str, str]]:
    """Every panel's and every recording rule's, by name."""
    panels = [
        (panel["title"], target["expr"].replace("$run", "cdpo").replace("$__rate_interval", "20s"))
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]
    return panels + [(rule["record"], rule["record"]) for rule in RULES if "record" in rule]


FIGURES = {
    "videothinker_learner_steps_total": lambda lines: len(lines),
    "videothinker_samples_trained_total": lambda lines: sum(line["samples"] for line in lines),
    "videothinker_tokens_trained_total": lambda lines: sum(line["tokens"] for line in lines),
    "videothinker_flops_total": lambda lines: operations(lines, "learner"),  # the scorer is silent
    'videothinker_phase_seconds_count{phase="learn"}': lambda lines: len(lines),
    'videothinker_phase_seconds_sum{phase="learn"}': lambda lines: sum(
        line["seconds"]["learn"] for line in lines
    ),
    "videothinker_group_staleness_count": lambda lines: 4 * len(lines),
    "videothinker_reward": lambda lines: lines[-1]["reward"],
    "videothinker_kl": lambda lines: lines[-1]["kl"],
    "videothinker_entropy": lambda lines: lines[-1]["entropy"],
    "videothinker_grad_norm": lambda lines: lines[-1]["grad_norm"],
    'videothinker_accuracy{slice="all"}': lambda lines: lines[-1]["accuracy"],
    'videothinker_accuracy{slice="inferential"}': lambda lines: last(lines, "inferential_accuracy"),
    'videothinker_weight_version{role="learner"}': lambda lines: lines[-1]["weights_version"] + 1,
    "videothinker_rollout_workers": lambda _: 1,
}
"""What Prometheus must have of a run that stands still, from its metrics.jsonl."""


def operations(lines: list[dict[str, Any]], role: str) -> float:
    """What the driver counted from the groups; the process counts what it does."""
    return sum(
        line["tokens"] * roles[role]["flops_per_second"] / roles[role]["tokens_per_second"]
        for line in lines
        for roles in [line["roles"]]
    )


def last(lines: list[dict[str, Any]], key: str) -> float:
    return next(line[key] for line in reversed(lines) if line[key] is not None)


def test_every_process_of_every_role_is_a_target_that_answers(watched: Watched) -> None:
    assert watched.up == ROLES


def test_every_panel_and_every_recording_rule_has_data(watched: Watched) -> None:
    assert watched.empty == []


@pytest.mark.parametrize("expression", FIGURES)
def test_prometheus_has_the_runs_own_figures(watched: Watched, expression: str) -> None:
    assert watched.figures[expression] == pytest.approx(FIGURES[expression](watched.lines))


def test_no_alert_fires_in_a_healthy_run(watched: Watched) -> None:
    assert watched.healthy_alerts == set()


def test_a_stopped_process_is_an_alert_after_ten_usual_steps_and_15_seconds(
    watched: Watched,
) -> None:
    assert watched.stalled_alerts == {"NoProgress"}
    assert watched.alert_after < 10 * watched.usual_step + 20


def test_whom_the_others_wait_for_meanwhile_is_named(watched: Watched) -> None:
    assert watched.blamed["waiting for anchor"] > 0.9


def test_the_alert_ends_with_the_stall_and_nobody_misses_a_run_that_is_over(
    watched: Watched,
) -> None:
    assert watched.exit_code == 0
    assert watched.targets_left == 0
    assert watched.alerts_ever == {"NoProgress"}


def test_each_video_was_decoded_once_however_often_it_was_asked_about(
    watched: Watched, mini_questions: list[Question]
) -> None:
    videos = len({question.video for question in mini_questions})
    reused = 4 * STEPS - videos
    assert watched.videos == {"decoded": videos, "reused": reused, "failed": 0}


def test_a_run_elsewhere_is_found_by_the_documented_link_until_it_is_over(
    watched: Watched,
) -> None:
    assert watched.linked == [{"driver"}, set()]


def test_the_shipped_files_are_what_prometheus_accepts(tools: dict[str, str]) -> None:
    checked = subprocess.run(
        [tools["promtool"], "check", "config", CONFIGS / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


DRIVER = 'run="r",role="driver",index="0"'
ROLLOUT = 'run="r",role="rollout",index="1"'
STUCK = {
    'videothinker_weight_version{run="r",role="learner",index="0"}': "1+1x40",
    f"videothinker_max_staleness{{{DRIVER}}}": "1x40",
    f"videothinker_weight_version{{{ROLLOUT}}}": "1x40",
    f'videothinker_engine_requests{{{ROLLOUT},state="running"}}': "8x40",
}
SKIPPED = {
    f"videothinker_questions_total{{{DRIVER}}}": "0+10x40",
    f"videothinker_max_skipped_share{{{DRIVER}}}": "0.1x40",
}
REASON = f'videothinker_samples_skipped_total{{{DRIVER},reason="%s"}}'
ROOMY = {
    f"videothinker_disk_free_bytes{{{DRIVER}}}": "100e9-1e7x50",
    f"videothinker_state_bytes{{{DRIVER}}}": "53e9x50",
}
FIRES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "ProcessDown": (
        {f'up{{job="videothinker",{ROLLOUT}}}': "1 1 0x40"},
        {f'up{{job="videothinker",{ROLLOUT}}}': "1 0 0 1x40"},  # it was replaced
    ),
    "NoProgress": (
        {
            f"videothinker_last_step_timestamp_seconds{{{DRIVER}}}": "100x40",
            f"videothinker_usual_step_seconds{{{DRIVER}}}": "20x40",
        },
        {
            f"videothinker_last_step_timestamp_seconds{{{DRIVER}}}": "100x40",
            f"videothinker_usual_step_seconds{{{DRIVER}}}": "0x40",  # it evaluates
        },
    ),
    "StaleWeights": (
        STUCK,
        STUCK | {f'videothinker_engine_requests{{{ROLLOUT},state="running"}}': "0x40"},
    ),
    "Collapse": (
        {f"videothinker_bound_share{{{DRIVER}}}": "0 0.1 0.3x40"},
        {
            f"videothinker_bound_share{{{DRIVER}}}": "0.1x40",
            f"videothinker_reward_lost{{{DRIVER}}}": "0x40",
        },
    ),
    "WorkerFlapping": (
        {'videothinker_restarts_total{run="r",role="rollout",index="0"}': "0 0 1 2 3 3x40"},
        {'videothinker_restarts_total{run="r",role="rollout",index="0"}': "0 0 1 1x40"},
    ),
    "SkippedShare": (
        SKIPPED | {REASON % "video": "0+1x40"},
        SKIPPED | {REASON % "too_old": "0+1x40"},  # they were sampled again
    ),
    "StoreSpills": (
        {f"videothinker_spilled_bytes{{{DRIVER}}}": "0x10 600e6x40"},
        {f"videothinker_spilled_bytes{{{DRIVER}}}": "600e6x50"},  # it was long ago
    ),
    "DiskFull": (
        ROOMY | {f"videothinker_state_bytes{{{DRIVER}}}": "97e9x50"},
        ROOMY,
    ),
}
"""What must make an alert fire within 12 minutes, and what must not."""


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES if "alert" in rule])
@pytest.mark.parametrize("bad", [True, False])
def test_an_alert_fires_on_what_it_is_for_and_on_nothing_like_it(
    tools: dict[str, str], alert: str, bad: bool, tmp_path: Path
) -> None:
    series = FIRES[alert][0 if bad else 1]
    labels = f'{{alertname="{alert}"}}'
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "12m",
                "exp_samples": [{"labels": labels, "value": 1}] if bad else [],
            }
        ],
    }
    file = tmp_path / "case.yml"
    rules = [str(CONFIGS / "rules.yml")]
    file.write_text(
        yaml.safe_dump({"rule_files": rules, "evaluation_interval": "15s", "tests": [case]})
    )
    tested = subprocess.run(
        [tools["promtool"], "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr

"""The check of a GPU goes on whatever a part does, and says how each ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gpu_check import __main__ as program
from gpu_check.page import page
from gpu_check.running import PARTS, Outcome, Part, found_by, run

FINDING = '{"passed": true, "said": "well", "goal": "to be", "figures": {"rate": 1.5}}'


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def outcome(**other: Any) -> Outcome:
    usual = {"part": "one", "asks": "does it?", "verdict": "pass", "said": "well", "goal": "any"}
    return Outcome(**usual | {"figures": {}, "seconds": 3.0} | other)


def test_the_last_line_is_the_finding() -> None:
    found = found_by(python(f"print('noise'); print('{FINDING}')"), 20)
    assert found == {"verdict": "pass", "said": "well", "goal": "to be", "figures": {"rate": 1.5}}


def test_a_part_that_does_not_end_is_ended_with_what_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(4321)'])\n"
        "time.sleep(4321)"
    )
    found = found_by(python(code), 2)
    expected = ("FAIL", "not done after 2 s, which was all its time")
    assert (found["verdict"], found["said"]) == expected
    time.sleep(0.2)
    left = [one for one in psutil.process_iter(["cmdline"]) if "time.sleep(4321)" in str(one.info)]
    assert left == []


def test_a_part_that_fails_says_why() -> None:
    found = found_by(python("raise RuntimeError('no such kernel')"), 20)
    assert (found["verdict"], found["said"]) == ("FAIL", "RuntimeError: no such kernel")


def test_a_part_that_says_nothing_has_not_passed() -> None:
    for code in ("", "print('done')", "print('[1]')"):
        found = found_by(python(code), 20)
        assert (found["verdict"], found["said"]) == ("FAIL", "it ended without a finding")


def test_a_part_whose_packages_are_not_here_is_not_run() -> None:
    part = Part(module="kernels", share=5, asks="?", needs=("json", "no_such_package"))
    found = run(part, "cpu", Path(), 5)
    assert (found.verdict, found.said) == ("not run", "no_such_package is not here")


@pytest.mark.parametrize(
    ("verdicts", "code"), [(["pass", "not run"], 0), (["pass", "FAIL", "pass"], 1)]
)
def test_only_what_failed_fails_the_check(
    verdicts: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [outcome(verdict=verdict) for verdict in verdicts]
    monkeypatch.setattr(program, "outcomes_of", lambda *_: found)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--out", str(tmp_path)])
    assert program.main() == code
    assert (tmp_path / "gpu-check.md").is_file()


def test_a_part_has_its_share_and_what_those_before_it_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, limits = [100.0], []

    def runs(part: Part, device: str, folder: Path, limit: float) -> Outcome:
        limits.append(limit)
        clock[0] += took[part.module]
        return outcome(part=part.module)

    took = {"quick": 2.0, "slow": 18.0, "last": 1.0}
    parts = [Part(module=name, share=10, asks="?") for name in took]
    monkeypatch.setattr(program, "run", runs)
    monkeypatch.setattr(program.time, "monotonic", lambda: clock[0])
    assert len(list(program.outcomes_of(parts, "cpu", 1.0))) == 3
    assert limits == [10, 18, 10]


def test_all_parts_together_take_no_more_than_twelve_minutes() -> None:
    assert sum(part.share for part in PARTS) <= 12 * 60


def test_the_page_has_a_line_a_part_with_figure_and_goal_then_what_each_found() -> None:
    outcomes = [
        outcome(part="one", said="2 s", goal="below 3", figures={"rate": 1.234, "of": {"a": 0.5}}),
        outcome(part="two", verdict="FAIL", said="gone", goal=""),
    ]
    text = page(outcomes, "cuda")
    assert text.startswith("# gpu-check on cuda: 1 passed, 1 failed\n")
    assert "| one | pass | 2 s | below 3 |" in text
    assert "| two | FAIL | gone |  |" in text
    assert "- rate: 1.23\n- of: a 0.5" in text


def test_a_step_is_held_against_the_floor_without_the_one_that_warms_up() -> None:
    from gpu_check.second_stage import PHASES, beside, measured

    def line(stage: str, seconds: float) -> dict[str, Any]:
        return {"stage": stage, "seconds": dict.fromkeys(PHASES, seconds)}

    lines = [line("bias", 70), line("cdpo", 50), line("cdpo", 2), line("cdpo", 4), line("cdpo", 3)]
    found = beside(measured(lines), dict.fromkeys(PHASES, 2.0))
    assert found["total"] == {"s": 3, "floor": 2.0, "ratio": 1.5}


def test_the_floor_is_the_plans_with_this_cards_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes takes half as long on a chip of twice the speed."""
    from gpu_check.bias_run import SIZES
    from gpu_check.second_stage import floor

    from videothinker.config.loading import load_config
    from videothinker.packages import ROOT
    from videothinker.planning import speed
    from videothinker.planning.layout import Machine
    from videothinker.planning.speed import Chip

    for told in ("mean_tokens", "longest_tokens"):  # the floor tells them; for this test only
        monkeypatch.setattr(speed, told, getattr(speed, told))
    config = load_config(ROOT / "configs" / "cdpo_2xa6000.yaml", ["learner.offload=false"])
    machine = Machine(gpus=2, gpu_gb=80, host_gb=128)
    slow, fast = (
        floor(
            config,
            SIZES["cuda"].shape,
            machine,
            Chip(name="?", flops=times * 50e12, bandwidth=times * 1e15),
            tokens=100,
        )
        for times in (1, 2)
    )
    assert slow["score"] == pytest.approx(2 * fast["score"])
    assert slow["learn"] == pytest.approx(2 * fast["learn"])
    assert slow["generate"] > fast["generate"] > 768 * 2e-3
    assert slow["total"] == pytest.approx(sum(slow[p] for p in slow if p != "total"))


def test_memory_is_the_most_of_any_step_beside_the_plan_without_the_context() -> None:
    from gpu_check.bias_run import SIZES
    from gpu_check.memory import peaks, planned

    from videothinker.config.loading import load_config
    from videothinker.packages import ROOT
    from videothinker.planning.memory import context_gb, engine_parts, total

    lines = [
        {"roles": {"learner": {"memory_peak_gb": 3.0}, "rollout": {}}},
        {"roles": {"learner": {"memory_peak_gb": 2.0}, "rollout": {"memory_peak_gb": 5.0}}},
    ]
    assert peaks(lines) == {"learner": 3.0, "rollout": 5.0}
    config = load_config(ROOT / "configs" / "cdpo_2xa6000.yaml", [])
    shape = SIZES["cuda"].shape
    context = context_gb(config)
    assert context > 0
    engine = total(planned(config, shape)["rollout"])
    assert engine == pytest.approx(total(engine_parts(config, shape)) - context)


def test_growth_counts_from_the_first_stage_in_which_a_role_had_a_model() -> None:
    from gpu_check.stages import growth

    def line(stage: str, learner: float, anchor: float) -> dict[str, Any]:
        roles = {"learner": {"memory_gb": learner}, "anchor": {"memory_gb": anchor}}
        return {"stage": stage, "roles": roles}

    lines = [line("first", 2, 1), line("second", 3, 4), line("third", 5, 4)]
    assert growth(lines) == {"learner": 2.5, "anchor": 1.0}


def test_every_token_is_held_against_the_version_that_sampled_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from builders import completion
    from gpu_check import in_flight

    def distance(policy: int, _: object, group: list[Any]) -> list[np.ndarray]:
        """Version 0 is right about the first two tokens, 1 about the last."""
        return [np.array([[0.1, 0.2, 9.0], [8.0, 7.0, 0.3]][policy]) for _ in group]

    monkeypatch.setattr(in_flight, "apart", distance)
    groups = {0: (completion(tokens=3, version=[0, 0, 1]),)}
    version, own, other = in_flight.own_and_other([0, 1], [None], groups)
    np.testing.assert_array_equal(version, [0, 0, 1])
    np.testing.assert_array_equal(own, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(other, [8.0, 7.0, 9.0])


def test_a_watched_scheduler_counts_what_it_puts_off_and_says_when_it_is_midway() -> None:
    from gpu_check.in_flight import MIDWAY, Watch

    class Scheduler:
        def schedule(self) -> Any:
            return type("Planned", (), {"preempted_req_ids": {"a", "b"}})

    scheduler = Scheduler()
    watch = Watch(scheduler)
    for _ in range(MIDWAY - 1):
        scheduler.schedule()
    assert not watch.midway.is_set()
    scheduler.schedule()
    assert watch.midway.is_set()
    assert watch.put_off == 2 * MIDWAY

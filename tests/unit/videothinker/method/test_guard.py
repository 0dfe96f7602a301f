"""The guard and its coefficient on made-up metrics."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smallest_config import SMALLEST

from videothinker.config.kl import KLConfig
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import GuardConfig, StageConfig
from videothinker.errors import ConfigError
from videothinker.method.guard import StageGuard, Verdict, stop_message

WINDOW = 4
HEALTHY = {
    "stage": "cdpo",
    "reward": 1.6,
    "format": 0.95,
    "entropy": 0.4,
    "completion_length": 150.0,
    "truncated_share": 0.05,
    "duplicate_share": 0.1,
    "bound_share": 0.01,
    "policy_gradient": 0.05,
    "divergence_gradient": 0.01,
    "kl": 0.2,
}
POORER = {"reward": 1.1}
"""Less than 0.8 of the reward, more than half of it: tells of a collapse beside a symptom only."""
RAMP = {"coefficient": 0.08, "schedule": "ramp", "schedule_steps": 16}
EARLY = {"coefficient": 0.08, "schedule": "early", "schedule_steps": 12}
WAVES = (0.05, -0.03, 0.0, 0.02, -0.04)


def stage(kl: dict[str, Any] | None = None, **guard: Any) -> StageConfig:
    return StageConfig(
        name="cdpo",
        questions=Path("q"),
        kl=KLConfig.model_validate({"direction": "repel", **(kl or {})}),
        guard=GuardConfig.model_validate({"window": WINDOW, **guard}),
    )


def lines(*parts: tuple[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """So many steps of each part, on top of healthy ones; rewards go up and down a little."""
    changes = [change for steps, change in parts for _ in range(steps)]
    for step, (change, wave) in enumerate(zip(changes, itertools.cycle(WAVES)), start=1):
        line = {**HEALTHY, **change, "step": step}
        yield {**line, "reward": line["reward"] * (1 + wave)}


def verdicts(*parts: tuple[int, dict[str, Any]], **settings: Any) -> list[Verdict]:
    guard = StageGuard(stage(**settings))
    return [guard.watch(line) for line in lines(*parts)]


def first_cause(*parts: tuple[int, dict[str, Any]]) -> str:
    return next((v.cause for v in verdicts(*parts) if v.action == "stop"), "")


def test_a_steady_run_is_healthy() -> None:
    assert {verdict.action for verdict in verdicts((200, {}))} == {"healthy"}


def test_a_run_that_becomes_certain_while_it_earns_is_healthy() -> None:
    converged = {"reward": 1.9, "entropy": 0.01, "duplicate_share": 0.97, "bound_share": 0.5}
    assert first_cause((20, {}), (40, converged)) == ""
    assert first_cause((20, {}), (40, {**converged, "reward": 1.6})) == ""


def test_reward_that_falls_by_less_than_its_noise_is_no_loss() -> None:
    guard = StageGuard(stage())
    rewards = [1.6, 0.2, 1.9, 0.5] * 5 + [0.4, 0.3, 0.6, 0.2]
    seen = [guard.watch({**HEALTHY, "reward": r, "step": n}) for n, r in enumerate(rewards)]
    assert all(verdict.action == "healthy" and verdict.good for verdict in seen)


def test_halved_reward_is_a_collapse_whatever_else_is_seen() -> None:
    assert first_cause((10, {}), (8, {"reward": 0.6})).startswith(
        "over the last 4 steps reward was"
    )
    assert first_cause((10, {}), (8, POORER)) == ""


SLAVISH = {"accuracy": 0.9, "reward": 1.1, "deduction": -0.75}
HACKED = {"accuracy": 0.35, "reward": 1.3, "deduction": 0.0, "entropy": 0.1}
"""Fewer are right, none of them as the anchor would have it: what is left of the reward rises."""


def test_under_a_deduction_reward_is_watched_before_it() -> None:
    kl = {"direction": "tie_break", "coefficient": 0.9}
    seen = verdicts((10, SLAVISH), (8, HACKED), kl=kl)
    cause = next(one.cause for one in seen if one.action == "stop")
    assert "reward before its deduction was" in cause
    assert "entropy fell" in cause
    assert first_cause((10, SLAVISH), (8, HACKED)) == "", "the rest alone rises"


def test_a_symptom_beside_a_small_loss_is_no_collapse() -> None:
    assert first_cause((10, {}), (8, {"reward": 1.35, "entropy": 0.1})) == ""


def test_reward_is_held_against_the_best_it_ever_was() -> None:
    risen = [(8, {"reward": 0.8}), (8, {})]
    assert "reward was" in first_cause(*risen, (8, {"reward": 0.5}))


def test_halved_format_is_a_collapse_even_while_reward_stands() -> None:
    cause = first_cause((10, {}), (8, {"format": 0.25}))
    assert "format was 0.425 after 0.95 at step 4" in cause
    assert "reward" not in cause


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entropy": 0.1}, "entropy fell to 0.1 (0.4 at the start)"),
        ({"entropy": 1.5}, "entropy rose to 1.5 (0.4 at the start)"),
        ({"completion_length": 40.0}, "completion length fell to 40 (150 at the start)"),
        ({"completion_length": 500.0}, "completion length rose to 500 (150 at the start)"),
        ({"truncated_share": 0.8}, "ends within max_tokens fell to 0.2 (0.95 at the start)"),
        ({"duplicate_share": 0.8}, "repeats no other fell to 0.2 (0.9 at the start)"),
        ({"bound_share": 0.3}, "bound_share was 0.3"),
        ({"divergence_gradient": 0.6}, "repulsion_ratio was 12 (0.2 at the start)"),
        ({"policy_gradient": 0.0}, "repulsion_ratio was inf (0.2 at the start)"),
    ],
)
def test_a_symptom_that_costs_reward_is_named(change: dict[str, float], said: str) -> None:
    cause = first_cause((10, {}), (8, {**POORER, **change}))
    assert said in cause
    assert "reward was" in cause
    assert cause.count(";") == 1, "one symptom, beside the reward"


@pytest.mark.parametrize(
    "change",
    [
        {"entropy": 0.15},
        {"entropy": 1.1},
        {"completion_length": 60.0},
        {"completion_length": 400.0},
        {"truncated_share": 0.6},
        {"duplicate_share": 0.6},
        {"bound_share": 0.15},
        {"divergence_gradient": 0.4},
    ],
)
def test_what_stays_within_its_threshold_is_no_symptom(change: dict[str, float]) -> None:
    assert first_cause((10, {}), (8, {**POORER, **change})) == ""


def test_what_came_with_halved_reward_is_named_at_once() -> None:
    """Two of four steps: enough to explain a loss that is certain, too few to be judged alone."""
    ran_away = {"reward": 0.0, "bound_share": 0.5}
    assert "; bound_share was 0.5" in first_cause((10, {}), (3, ran_away), (9, {"reward": 0.0}))


def test_one_odd_step_stops_nothing() -> None:
    odd = {"reward": 0.0, "format": 0.0, "entropy": 9.0, "bound_share": 1.0, "duplicate_share": 1.0}
    assert first_cause((10, {}), (1, odd), (20, {})) == ""


def test_a_run_that_never_earned_anything_is_judged_by_its_symptoms() -> None:
    poor = {"reward": 0.0, "format": 0.0}
    assert "entropy fell" in first_cause((10, poor), (8, {**poor, "entropy": 0.1}))
    assert first_cause((30, {**poor, "policy_gradient": 0.0})) == "", "hard questions at the start"


def test_figures_that_are_absent_are_not_judged() -> None:
    guard = StageGuard(stage())
    for step in range(20):
        line = {"step": step, "stage": "grpo", "reward": 1.0 + step % 2 / 10, "entropy": None}
        assert guard.watch(line).action == "healthy"


def test_off_watches_nothing() -> None:
    assert {v.action for v in verdicts((10, {}), (9, {"reward": 0.0}), action="off")} == {"healthy"}


def test_lowering_waits_for_new_steps_and_stops_when_it_did_not_help() -> None:
    seen = verdicts((10, {}), (40, {"reward": 0.3}), action="lower", lowerings=2)
    acted = [(place, v.action) for place, v in enumerate(seen) if v.action != "healthy"]
    first = acted[0][0]
    assert acted[:3] == [(first, "lower"), (first + 4, "lower"), (first + 8, "stop")]
    assert seen[first + 8].cause.endswith("the coefficient had been lowered 2 times")


def test_a_state_is_worth_keeping_until_reward_is_lost_and_again_when_it_is_back() -> None:
    good = [v.good for v in verdicts((10, {}), (6, POORER), (6, {}), action="stop")]
    assert good[:10] == [True] * 10
    assert not good[15]
    assert good[-1]


def test_the_coefficient_is_the_configured_one_unless_something_moves_it() -> None:
    steering = StageGuard(stage({"coefficient": 0.02}))
    for line in lines((30, {})):
        steering.watch(line)
        assert steering.coefficient(line["step"] + 1) == 0.02
    assert StageGuard(stage({"direction": "none"})).coefficient(1) == 0.0


def test_each_lowering_halves_the_coefficient() -> None:
    steering = StageGuard(stage({"coefficient": 0.08}, action="lower"))
    seen = []
    for line in lines((10, {}), (7, {"reward": 0.3})):
        steering.watch(line)
        seen.append(steering.coefficient(line["step"] + 1))
    assert list(dict.fromkeys(seen)) == [0.08, 0.04, 0.02]
    assert not steering.good


def test_a_ramp_rises_by_equal_steps_and_stays_up() -> None:
    steering = StageGuard(stage({"coefficient": 0.08, "schedule": "ramp", "schedule_steps": 4}))
    seen = [steering.coefficient(step) for step in range(1, 7)]
    assert seen == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.08, 0.08], rel=1e-12)


def test_an_early_divergence_is_whole_and_then_none() -> None:
    steering = StageGuard(stage({"coefficient": 0.08, "schedule": "early", "schedule_steps": 3}))
    assert [steering.coefficient(step) for step in range(1, 6)] == [0.08, 0.08, 0.08, 0, 0]


def test_a_step_that_left_no_line_does_not_hold_a_schedule_back() -> None:
    written = [line for line in lines((9, {})) if line["step"] not in (2, 3)]
    assert StageGuard.replay(stage(RAMP), written).coefficient(10) == pytest.approx(0.05)


def test_a_halved_ramp_goes_on_to_half_the_height() -> None:
    steering = StageGuard(stage(RAMP, action="lower", lowerings=1))
    seen = {}
    for line in lines((8, {}), (8, {"reward": 0.3})):
        steering.watch(line)
        seen[line["step"] + 1] = steering.coefficient(line["step"] + 1), steering.lowered
    assert seen[8] == (pytest.approx(0.04), 0)
    lowered = [step for step, (_, times) in seen.items() if times == 1]
    assert seen[lowered[0]][0] == pytest.approx(0.08 * lowered[0] / 16 / 2)
    assert seen[16][0] == pytest.approx(0.04)


def test_the_end_of_an_early_divergence_is_a_lowering_that_is_waited_for_once() -> None:
    """Reward halves while it is still felt: a window without it, then no lowering of 0."""
    fallen = (10, {}), (30, {"reward": 0.3})
    seen = verdicts(*fallen, kl=EARLY, action="lower")
    acted = {step: v for step, v in enumerate(seen, start=1) if v.action != "healthy"}
    assert next(iter(acted)) == EARLY["schedule_steps"] + WINDOW
    assert {v.action for v in acted.values()} == {"stop"}
    assert acted[16].cause.endswith("; the coefficient is 0 already")
    assert not any(v.good for v in seen[12:16])
    stopped = next(n for n, v in enumerate(verdicts(*fallen, kl=EARLY), 1) if v.action == "stop")
    assert stopped == 13  # whoever is not asked to lower does not wait


def test_a_collapse_that_ends_with_an_early_divergence_is_survived() -> None:
    parts = (10, {}), (4, {"reward": 0.3}), (30, {})
    assert {v.action for v in verdicts(*parts, kl=EARLY, action="lower")} == {"healthy"}


@pytest.mark.parametrize(
    ("kl", "said"),
    [
        ("schedule_steps: 9", "stages.0.kl.schedule_steps = 9 has no effect with schedule = 'cons"),
        ("schedule: ramp", "stages.0.kl.schedule = 'ramp': nothing says over how many steps"),
        ("schedule: ramp, schedule_steps: 1", "schedule_steps = 1: a ramp of one step is none"),
        ("schedule: ramp, schedule_steps: 21", "longer than the stage's 20 steps never reaches"),
        ("schedule: early, schedule_steps: 20", "schedule_steps = 20 has no effect with schedule"),
        ("schedule: early, schedule_steps: 9, target: 1", "with stages.0.kl.target = 1: every ste"),
        ("schedule: early, schedule_steps: 9, coefficient: 0", "no effect on a coefficient of 0"),
    ],
)
def test_a_schedule_that_moves_nothing_or_is_moved_is_refused(
    tmp_path: Path, kl: str, said: str
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    given = f"stages.0.kl={{direction: repel, anchor: base, {kl}}}"
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["stages.0.steps=20", given])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_schedule_reads_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    for steps, kl in (
        (20, "repel, anchor: base, schedule: ramp, schedule_steps: 20"),
        (20, "repel, anchor: base, schedule: early, schedule_steps: 19"),
        (9, "discount, anchor: /m/b, coefficient: 0.5, schedule: ramp, schedule_steps: 2"),
    ):
        config = load_config(file, [f"stages.0.steps={steps}", f"stages.0.kl={{direction: {kl}}}"])
        file.with_name("resolved.yaml").write_text(to_yaml(config))
        assert load_config(file.with_name("resolved.yaml")) == config


@pytest.mark.parametrize(
    ("kl", "guard", "said"),
    [
        ("{direction: repel, anchor: base, coefficient: 0, target: 1}", "{}", "a coefficient of 0"),
        ("{direction: none, target: 1}", "{}", "target = 1.0 would have no effect"),
        ("{direction: none}", "{action: lower}", "this stage's loss has no divergence"),
        (
            "{direction: discount, anchor: base, coefficient: 0.5}",
            "{action: lower}",
            "this stage's loss has no divergence",
        ),
        (
            "{direction: repel, anchor: base, target: 1}",
            "{action: lower}",
            "kl.target would raise it again",
        ),
        ("{direction: none}", "{lowerings: 2}", "lowerings = 2 has no effect with action = 'stop'"),
        ("{direction: none}", "{action: off, window: 5}", "window = 5 has no effect with action ="),
        ("{direction: none}", "{window: 1}", "stages.0.guard.window = 1"),
    ],
)
def test_a_setting_without_effect_is_refused(
    tmp_path: Path, kl: str, guard: str, said: str
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    with pytest.raises(ConfigError) as caught:
        load_config(file, [f"stages.0.kl={kl}", f"stages.0.guard={guard}"])
    assert said in str(caught.value)


def test_a_resolved_configuration_with_a_guard_reads_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    kl = "{direction: repel, anchor: base}"
    for guard in ("{action: lower, lowerings: 2, window: 5}", "{action: off}", "{}"):
        config = load_config(file, [f"stages.0.kl={kl}", f"stages.0.guard={guard}"])
        file.with_name("resolved.yaml").write_text(to_yaml(config))
        assert load_config(file.with_name("resolved.yaml")) == config


@pytest.mark.parametrize("cut", [1, 7, 13, 20, 29])
@pytest.mark.parametrize(
    "configured",
    [stage({"target": 0.3}), stage(action="lower"), stage(RAMP, action="lower")],
    ids=["held", "lowered", "ramp and lowered"],
)
def test_a_resumed_run_goes_on_with_the_very_same_steering(
    configured: StageConfig, cut: int
) -> None:
    kls = [math.sin(n) ** 2 for n in range(30)]
    written = list(lines((10, {}), (20, {"reward": 0.3})))
    written = [{**line, "kl": kl} for line, kl in zip(written, kls, strict=True)]
    other = {**HEALTHY, "stage": "bias", "step": 1, "reward": 0.0, "kl": 9.0}
    on_disk = "\n".join(json.dumps(line) for line in [other, *written[:cut]])
    resumed = StageGuard.replay(configured, [json.loads(text) for text in on_disk.splitlines()])
    whole = StageGuard(configured)

    def after(steering: StageGuard, line: dict[str, Any]) -> tuple[Verdict, float, bool]:
        return steering.watch(line), steering.coefficient(line["step"] + 1), steering.good

    expected = [after(whole, line) for line in written]
    assert resumed.coefficient(cut + 1) == expected[cut - 1][1]
    assert [after(resumed, line) for line in written[cut:]] == expected[cut:]


def test_the_message_says_what_happened_and_what_to_set() -> None:
    said = stop_message("stages.2", stage(), 45, "over the last 4 steps reward was 0.1 after 1.6")
    assert said == (
        "stage cdpo, step 45: the policy is collapsing: over the last 4 steps reward was 0.1 after"
        " 1.6. The states and models saved before stand. Start another run with"
        " stages.2.kl.coefficient below 0.01, stages.2.kl.target or stages.2.guard.action=lower;"
        " stages.2.guard.action=off trains on"
    )
    said = stop_message("stages.2", stage(RAMP), 45, "x")
    assert "stages.2.kl.coefficient below 0.08 or stages.2.guard.action=lower;" in said
    assert "a lower learner.learning_rate" in stop_message(
        "stages.0", stage({"direction": "none"}), 9, "x"
    )

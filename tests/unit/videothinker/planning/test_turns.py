"""A GPU by turns: engines awake beside a learner at rest, or asleep while it works."""

import json

import pytest
from builders import CONFIGS
from builders import shipped_config as config

from videothinker.cli.main import main
from videothinker.config.checks.run import cross_checks
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.model.families.known import KNOWN
from videothinker.planning.layout import Layout, Machine, layouts
from videothinker.planning.memory import learner_parts, total
from videothinker.planning.placement import changed, fitting, grow, plan, remedies
from videothinker.planning.turns import resting_learner

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
SLEEP = "rollout.sleep=true"
ONE_GPU = Machine(gpus=1, gpu_gb=200)


def planned(*settings: str, machine: Machine = ONE_GPU, name: str = "cdpo_2xa6000") -> Layout:
    return plan(config(*settings, name=name), SHAPE, [machine])


def test_a_gpu_holds_the_larger_of_two_turns() -> None:
    """With the optimizer on the host engines awake are more, with it on the GPU the learner is."""
    [sampling], [learning] = (
        planned(SLEEP, f"learner.offload={offload}").devices for offload in ("true", "false")
    )
    assert sampling.turns == pytest.approx((8.7 + 15.2 + 8.9, 13.3 + 1.6 + 8.9), abs=0.1)
    assert sampling.total_gb == sampling.turns[0]
    assert learning.turns == pytest.approx((61.3 + 15.2 + 8.9, 83.8 + 1.6 + 8.9), abs=0.1)
    assert learning.total_gb == learning.turns[1]
    assert sampling.parts["rollout 0"]["cache"] == pytest.approx(4 * 1.073741824)
    assert learning.parts["rollout 0"] == {"graphs": 1.0, "context": 0.6}


def test_awake_everybodys_most_is_added_up_as_ever() -> None:
    [gpu] = planned().devices
    assert gpu.turns == ()
    assert gpu.total_gb == pytest.approx(13.3 + 15.2 + 8.9, abs=0.1)


def test_a_gpu_without_a_learner_has_no_turns() -> None:
    layout = planned(SLEEP, "rollout.workers=2", machine=Machine(gpus=2, gpu_gb=48))
    shared, other = layout.devices
    assert layout.places["rollout"] == (1, 0)
    assert len(shared.turns) == 2
    assert other.turns == ()
    assert other.total_gb == pytest.approx(15.2 + 8.9, abs=0.1)


@pytest.mark.parametrize("stage", [0, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_learner_never_rests_with_more_than_it_works_with(stage: int, dtype: str) -> None:
    settings = f"learner.zero_stage={stage}", f"model.dtype={dtype}", "learner.offload=false"
    asked = config(*settings)
    assert total(resting_learner(asked, SHAPE)) <= total(learner_parts(asked, SHAPE))


def test_a_bucket_is_there_at_rest_under_zero_3_alone() -> None:
    """ZeRO 2's comes with a step's first gradient and goes with its last, as measured
    (integration/test_memory.py)."""
    resting = [resting_learner(config(f"learner.zero_stage={stage}"), SHAPE) for stage in (2, 3)]
    assert "buckets" not in resting[0]
    assert total(resting[1]) - resting[1]["gathered"] < total(resting[0])


def test_under_zero_3_a_learner_at_rest_has_room_for_all_weights() -> None:
    parts = resting_learner(config("learner.zero_stage=3"), SHAPE)
    assert parts["gathered"] == pytest.approx(7.509245952)


def test_an_engine_is_still_told_the_part_that_it_takes_awake() -> None:
    settings = "learner.offload=false", "rollout.cache_gb=20"
    assert planned(SLEEP, *settings).engine_share == planned(*settings).engine_share > 0.16


def test_engines_on_gpus_of_their_own_are_refused_with_the_remedy() -> None:
    with pytest.raises(InputError) as refused:
        planned(SLEEP, machine=Machine(gpus=2, gpu_gb=48))
    assert str(refused.value) == (
        "rollout.sleep = True has no effect on 2 GPUs of 48 GB: no engine would share a GPU with"
        " the learner. Leave it out"
    )


def test_of_several_layouts_one_is_taken_in_which_it_has_an_effect() -> None:
    machine = Machine(gpus=2, gpu_gb=80)
    found = layouts(config(SLEEP, "rollout.workers=2"), SHAPE, [machine])
    assert [layout.shared for layout in found] == [True]


def test_sleep_is_proposed_where_it_is_enough_and_engines_sample_on_policy() -> None:
    machine = [Machine(gpus=1, gpu_gb=37, host_gb=128)]
    asked = config()
    assert fitting(asked, SHAPE, machine) is None
    first, *_ = remedies(asked, SHAPE, machine)
    assert first.text == SLEEP
    assert list(cross_checks(first.config)) == []
    stale = changed(asked, {"rollout.max_staleness": 1})
    assert all(SLEEP not in remedy.text for remedy in remedies(stale, SHAPE, machine))


def test_more_engines_are_seated_beside_those_that_sleep() -> None:
    asked: RunConfig = config(SLEEP)
    layout = planned(SLEEP, machine=Machine(gpus=1, gpu_gb=80))
    more = changed(asked, {"rollout.workers": 2})
    grown = grow(layout, more, SHAPE, [Machine(gpus=1, gpu_gb=80)])
    assert grown.devices[0].turns[0] - layout.devices[0].turns[0] == pytest.approx(15.2, abs=0.1)


def test_the_plan_says_both_turns(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", f"{CONFIGS}/cdpo_2xa6000.yaml", SLEEP, "--gpus", "1", "--gpu-memory", "48"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "by turns: 32.8 while engines are awake, 23.8 while the learner works" in said
    assert main([*words, "--json"]) == 0
    [gpu] = json.loads(capsys.readouterr().out)["devices"]
    assert gpu["turns_gb"] == pytest.approx([32.8, 23.8], abs=0.05)
    assert main(["plan", f"{CONFIGS}/cdpo_2xa6000.yaml", SLEEP, *words[3:4], "2", *words[5:]]) == 2
    assert capsys.readouterr().err.count("\n") == 1

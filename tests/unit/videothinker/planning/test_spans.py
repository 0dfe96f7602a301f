"""Engines over several GPUs: where they sit, what they take, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import CONFIGS
from builders import shipped_config as config

from videothinker.cli.main import main
from videothinker.cli.preflight import check_paths
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError, PlacementError
from videothinker.model.families.known import KNOWN
from videothinker.planning.layout import Layout, Machine, layouts
from videothinker.planning.memory import engine_parts, host_parts
from videothinker.planning.placement import grow, plan, remedies
from videothinker.planning.plan import least
from videothinker.planning.spans import free_spans, uneven

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
WIDE = "rollout.tensor_parallel=2"
FOUR = Machine(gpus=4, gpu_gb=48, host_gb=128)


def wide(*overrides: str) -> RunConfig:
    return config(WIDE, *overrides)


def seated(asked: RunConfig, *machines: Machine) -> list[Layout]:
    return layouts(asked, SHAPE, machines)


def test_spans_are_of_free_neighbours_on_one_machine() -> None:
    owners = (0, 0, 0, 1, 1, 1, 1)
    found = free_spans({0, 1, 2, 4, 5, 6}, owners, 2)
    assert found == [range(2), range(4, 6)]
    assert free_spans({2, 3}, owners, 2) == []


def test_nobody_shares_a_gpu_with_such_an_engine() -> None:
    for asked in (wide(), wide("rollout.workers=2"), wide("cluster.scorers=3")):
        for machines in ([FOUR, FOUR], [Machine(gpus=3, gpu_gb=48), FOUR], [FOUR]):
            for layout in seated(asked, *machines):
                for device in layout.devices:
                    assert len(device.parts) == 1 or "rollout" not in str(device.parts)


def test_an_engine_holds_a_share_on_each_of_its_gpus() -> None:
    layout = plan(wide(), SHAPE, [FOUR])
    assert layout.places == {"learner": (0,), "rollout": (1,), "anchor": (3,)}
    assert layout.devices[1].parts == layout.devices[2].parts
    assert list(layout.devices[1].parts) == ["rollout 0"]
    assert layout.used == [0, 1, 2, 3]
    assert layout.bundles == [range(1), range(1, 3), range(3, 4)]
    assert layout.device("rollout-0") == 1
    assert layout.seating()["rollout"] == ["GPU 1 to 2"]


def test_weights_and_cache_are_shared_out_and_room_for_a_step_is_not() -> None:
    one, two = (engine_parts(asked, SHAPE) for asked in (config(), wide()))
    halved = {part: two[part] / one[part] for part in one}
    expected = {"weights": 0.5, "cache": 0.5, "workspace": 1, "context": 1, "transfer": 1}
    assert halved == pytest.approx(expected)


def test_on_a_cpu_all_ranks_are_in_one_memory_each_with_a_process() -> None:
    asked = config(name="quickstart")
    other = config(WIDE, name="quickstart")
    one, two = (engine_parts(each, SHAPE) for each in (asked, other))
    assert two["weights"] == one["weights"]
    assert two["workspace"] == 2 * one["workspace"]
    sizes = {"ranks": 1, "engines": 1, "anchors": 0, "first": True, "publishes": True}
    here, there = (host_parts(each, SHAPE, **sizes) for each in (asked, other))
    assert there["processes"] - here["processes"] == pytest.approx(2 * 1.2)
    assert there["copies"] == pytest.approx(2 * 151_936 * 2048 * 4 / 1e9)


def test_whole_machines_are_left_for_engines_where_the_learner_fits_elsewhere() -> None:
    one, two = (Machine(gpus=gpus, gpu_gb=48) for gpus in (1, 2))
    layout = plan(wide(), SHAPE, [two, one])
    assert layout.places == {"learner": (2,), "rollout": (0,), "anchor": (2,)}


def test_anchors_sit_with_the_learner_where_engines_have_the_rest() -> None:
    layout = plan(wide(), SHAPE, [Machine(gpus=3, gpu_gb=48, host_gb=128)])
    assert layout.places == {"learner": (0,), "rollout": (1,), "anchor": (0,)}
    assert layout.kind == "colocated"


def test_two_gpus_sample_faster_than_one_and_not_twice_as_fast() -> None:
    one, two = (plan(asked, SHAPE, [FOUR]).seconds.generate for asked in (config(), wide()))
    assert one / 2 < two < one
    token_step, all_reduces = 2e-3, 2 * 36 * 2e-5
    assert two - one / 2 == pytest.approx(350 * (token_step / 2 + all_reduces))


def refused(asked: RunConfig, *machines: Machine) -> str:
    with pytest.raises(InputError) as caught:
        plan(asked, SHAPE, machines)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("rollout.tensor_parallel = ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (3, "3: the model has 16 attention heads, .* Use 1 or 2"),
        (4, "4: the model has 2 key-value heads, .* Use 1 or 2"),
    ],
)
def test_a_model_that_cannot_be_shared_out_is_refused(gpus: int, said: str) -> None:
    asked = config(f"rollout.tensor_parallel={gpus}")
    with pytest.raises(InputError, match=said):
        plan(asked, SHAPE, [FOUR])
    assert uneven(config(), SHAPE) is None
    assert uneven(wide(), replace(SHAPE, vision_heads=15))


def test_more_than_a_machine_has_is_refused() -> None:
    one = Machine(gpus=1, gpu_gb=48)
    assert "none has more than 1. Use less" in refused(wide(), one, one, one)


def test_engines_that_would_have_to_share_are_refused() -> None:
    said = refused(wide(), Machine(gpus=2, gpu_gb=480))
    assert "beside learner.ranks = 1 there are not 2 of one machine for each" in said
    assert refused(wide("rollout.workers=2"), FOUR)


def test_a_way_through_the_learner_s_memory_is_refused_on_gpus_alone() -> None:
    with pytest.raises(InputError, match=r"rollout\.tensor_parallel = 2: .*weights\.path = auto"):
        wide("weights.path=ipc")
    assert config(WIDE, "weights.path=ipc", name="quickstart")


def test_an_uneven_model_is_refused_before_anything_loads(mini_base: Path) -> None:
    asked = config(WIDE, f"model.path={mini_base}", name="quickstart")
    [said] = [line for line in check_paths(asked) if line.startswith("rollout.tensor_parallel")]
    assert "3 attention heads" in said
    assert said.endswith("Use 1")


def test_a_refusal_is_exit_2_and_a_plan_shows_the_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(CONFIGS / "cdpo_2xa6000.yaml"), WIDE, "--gpu-memory", "48"]
    assert main([*words, "--gpus", "1"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert main([*words, "--gpus", "4"]) == 0
    assert "2 GPUs a rollout worker" in capsys.readouterr().out
    assert main([*words, "--gpus", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine_gpus"] == 2


def test_what_does_not_fit_names_what_would() -> None:
    asked, small = wide("rollout.cache_gb=200"), [Machine(gpus=4, gpu_gb=48, host_gb=128)]
    with pytest.raises(PlacementError, match=r"What would fit: rollout\.cache_gb="):
        plan(asked, SHAPE, small)
    assert remedies(asked, SHAPE, small)


def test_more_engines_take_free_pairs_of_one_machine_and_whoever_sits_stays() -> None:
    first = plan(wide(), SHAPE, [FOUR])
    grown = grow(first, wide("rollout.workers=3"), SHAPE, [FOUR, FOUR])
    assert grown.places["rollout"] == (1, 4, 6)
    assert grown.places["anchor"] == first.places["anchor"]
    with pytest.raises(PlacementError, match="an engine takes 2 GPUs of one machine that nobody"):
        grow(first, wide("rollout.workers=2"), SHAPE, [FOUR, Machine(gpus=1, gpu_gb=48)])
    with pytest.raises(PlacementError, match="no room"):
        grow(first, wide("rollout.workers=2"), SHAPE, [FOUR, FOUR], gone=[1])


def test_more_anchors_take_no_gpu_of_an_engine() -> None:
    first = plan(wide(), SHAPE, [FOUR])
    grown = grow(first, wide("cluster.scorers=4"), SHAPE, [FOUR])
    assert not {*grown.places["anchor"]} & {1, 2}


def test_the_least_that_holds_a_run_counts_the_gpus_of_its_engines() -> None:
    assert least(wide()).startswith("3 GPUs of ")

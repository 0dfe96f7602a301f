import json
from pathlib import Path

import pytest

from videothinker.config import RunConfig
from videothinker.config_file import load_config
from videothinker.layout import MARGIN, Layout, Machine, device_parts, layouts, seatings
from videothinker.memory import Need
from videothinker.model_shape import KNOWN

CONFIGS = Path(__file__).parents[3] / "configs"
SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
A6000 = Machine(gpus=2, gpu_gb=48, host_gb=128)


def config(*overrides: str, name: str = "cdpo_2xa6000") -> RunConfig:
    return load_config(CONFIGS / f"{name}.yaml", overrides)


def kinds(config: RunConfig, *machines: Machine) -> list[tuple[str, bool]]:
    return [(layout.kind, layout.sleep) for layout in layouts(config, SHAPE, machines)]


def first(config: RunConfig, *machines: Machine) -> Layout:
    return layouts(config, SHAPE, machines)[0]


def test_a_learner_alone_comes_before_sharing_and_sharing_before_sleep() -> None:
    assert kinds(config(), A6000) == [("split", False), ("colocated", False), ("colocated", True)]


def test_as_many_ranks_as_gpus_can_only_share() -> None:
    assert {kind for kind, _ in kinds(config(name="paper"), A6000)} == {"colocated"}


def test_ranks_never_share_a_gpu() -> None:
    assert kinds(config(name="paper"), Machine(gpus=1, gpu_gb=500)) == []


def test_split_over_machines_is_scale_out() -> None:
    machine = Machine(gpus=4, gpu_gb=48)
    layout = first(config(name="scale_out"), machine, machine)
    assert layout.kind == "scale_out"
    assert layout.places == {"learner": (0, 1, 2, 3), "rollout": (4, 5, 6), "anchor": (7,)}
    assert layout.devices[4].name == "machine 1 GPU 0"


@pytest.mark.parametrize("gpus", range(1, 9))
@pytest.mark.parametrize("name", ["cdpo_2xa6000", "paper", "scale_out"])
def test_every_process_has_a_seat_and_no_two_ranks_the_same(name: str, gpus: int) -> None:
    run = config(name=name)
    for _, places in seatings(run, [0] * gpus):
        assert len(places["learner"]) == len(set(places["learner"])) == run.learner.ranks
        assert len(places["rollout"]) == run.rollout.workers
        assert len(places["anchor"]) == 1
        assert all(0 <= place < gpus for seats in places.values() for place in seats)


def test_a_run_without_a_divergence_has_no_anchor() -> None:
    assert first(config("learner.ranks=1", name="bias"), A6000).places["anchor"] == ()


def test_the_processes_of_a_gpu_never_ask_for_more_than_all_of_it() -> None:
    for gpus in range(1, 9):
        for layout in layouts(config(name="paper"), SHAPE, [Machine(gpus=gpus, gpu_gb=80)]):
            for index in range(gpus):
                asked = [
                    layout.shares[role]
                    for role, places in layout.places.items()
                    for place in places
                    if place == index
                ]
                assert sum(asked) <= 1


def test_a_process_alone_on_its_gpus_asks_for_all_of_them() -> None:
    layout = first(config(), A6000)
    assert layout.shares["learner"] == 1.0
    assert 0.5 < layout.shares["rollout"] < 0.7


def test_gpus_that_nobody_uses_are_left_to_others() -> None:
    layout = first(config(), Machine(gpus=2, gpu_gb=48), Machine(gpus=4, gpu_gb=48))
    assert layout.owners == (0, 0, 1, 1, 1, 1)
    assert layout.bundles == {0: {"GPU": 1.0}, 1: {"GPU": 1.0}, 2: {"GPU": 1.0}}
    assert first(config(name="quickstart"), Machine(host_gb=8)).bundles == {}


def test_an_engine_is_told_the_part_of_its_gpu_that_it_takes() -> None:
    layout = first(config(), A6000)
    engine = sum(layout.devices[1].parts["rollout 0"].values())
    assert engine / 48 <= layout.engine_share < engine / 48 + 0.01


def test_memory_is_that_of_the_processes_on_a_gpu() -> None:
    learner, sampler = first(config(), A6000).devices
    assert set(learner.parts) == {"learner 0"}
    assert set(sampler.parts) == {"rollout 0", "anchor 0"}
    assert sampler.total_gb == pytest.approx(sum(map(sum_of, sampler.parts.values())))
    assert sampler.usable == pytest.approx(48 * (1 - MARGIN))


def sum_of(parts: dict[str, float]) -> float:
    return sum(parts.values())


def test_awake_everybodys_most_is_added_up() -> None:
    parts = device_parts(needs(), sleep=False)
    assert sum(map(sum_of, parts.values())) == (2 + 5) + (1 + 9)


def test_asleep_the_worse_of_two_times_counts() -> None:
    """The learner's 2 + 5 beside a sleeping engine's 1, or its 2 beside the engine's 1 + 9."""
    parts = device_parts(needs(), sleep=True)
    assert sum(map(sum_of, parts.values())) == 2 + (1 + 9)


def needs() -> dict[str, Need]:
    return {
        "learner 0": Need(resident={"context": 0, "weights": 2}, phases=({"gradients": 5}, {})),
        "rollout 0": Need(resident={"context": 1, "weights": 9}),
    }


def test_a_sleeping_engine_keeps_its_weights_on_the_host() -> None:
    layouts_found = layouts(config(), SHAPE, [Machine(gpus=1, gpu_gb=48, host_gb=128)])
    awake, asleep = (layout.hosts[0].parts["host"] for layout in layouts_found)
    assert asleep["asleep"] == pytest.approx(7.509245952)
    assert "asleep" not in awake


def test_without_gpus_everything_is_in_the_machines_memory() -> None:
    layout = first(config(name="quickstart"), Machine(host_gb=8, cpus=2))
    assert (layout.kind, layout.devices) == ("cpu", ())
    assert set(layout.hosts[0].parts) == {"learner 0", "rollout 0", "anchor 0", "host"}
    assert set(layout.shares.values()) == {0.0}


def test_one_core_overlaps_nothing() -> None:
    quickstart = config(name="quickstart")
    one, two = (first(quickstart, Machine(host_gb=8, cpus=cpus)).seconds for cpus in (1, 2))
    assert one.overlapped == one.on_policy
    assert two.overlapped < two.on_policy


def test_unknown_host_memory_is_not_checked() -> None:
    assert first(config(), Machine(gpus=2, gpu_gb=48)).excess < 0


def test_a_layout_is_json_even_where_memory_is_unknown() -> None:
    layout = first(config(), Machine(gpus=2, gpu_gb=48))
    document = json.loads(json.dumps(layout.as_dict(), allow_nan=False))
    assert document["hosts"][0]["limit_gb"] is None
    assert document["shares"]["learner"] == 1.0

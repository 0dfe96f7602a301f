import json

import pytest
from builders import shipped_config as config

from videothinker.config.settings import RunConfig
from videothinker.model.families.known import KNOWN
from videothinker.planning.layout import MARGIN, Layout, Machine, layouts, seatings

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
A6000 = Machine(gpus=2, gpu_gb=48, host_gb=128)


def kinds(config: RunConfig, *machines: Machine) -> list[str]:
    return [layout.kind for layout in layouts(config, SHAPE, machines)]


def first(config: RunConfig, *machines: Machine) -> Layout:
    return layouts(config, SHAPE, machines)[0]


def test_a_learner_alone_comes_before_sharing() -> None:
    assert kinds(config(), A6000) == ["split", "colocated"]


def test_as_many_ranks_as_gpus_can_only_share() -> None:
    assert kinds(config(name="paper"), A6000) == ["colocated"]


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
    for places in seatings(run, gpus):
        assert len(places["learner"]) == len(set(places["learner"])) == run.learner.ranks
        assert len(places["rollout"]) == run.rollout.workers
        assert len(places["anchor"]) == 1
        assert all(0 <= place < gpus for seats in places.values() for place in seats)


def test_a_run_without_a_divergence_has_no_anchor() -> None:
    assert first(config("learner.ranks=1", name="bias"), A6000).places["anchor"] == ()


def test_gpus_that_nobody_uses_are_left_to_others() -> None:
    layout = first(config(), Machine(gpus=2, gpu_gb=48), Machine(gpus=4, gpu_gb=48))
    assert layout.owners == (0, 0, 1, 1, 1, 1)
    assert layout.used == [0, 1, 2]
    assert first(config(name="quickstart"), Machine(host_gb=8)).used == []


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


def test_everybodys_most_is_added_up() -> None:
    """No allocator gives back what it once took."""
    (gpu,) = first(config(), Machine(gpus=1, gpu_gb=48)).devices
    assert gpu.total_gb == pytest.approx(13.3 + 15.2 + 8.9, abs=0.1)


def test_without_gpus_everything_is_in_the_machines_memory() -> None:
    layout = first(config(name="quickstart"), Machine(host_gb=8, cpus=2))
    assert (layout.kind, layout.devices) == ("cpu", ())
    assert set(layout.hosts[0].parts) == {"learner 0", "rollout 0", "anchor 0", "host"}


def test_one_core_overlaps_nothing() -> None:
    quickstart = config(name="quickstart")
    one, two = (first(quickstart, Machine(host_gb=8, cpus=cpus)).seconds for cpus in (1, 2))
    assert one.overlapped == one.on_policy
    assert two.overlapped < two.on_policy


def test_a_process_is_found_by_its_name() -> None:
    machine = Machine(gpus=4, gpu_gb=48)
    layout = first(config(name="scale_out"), machine, machine)
    assert layout.device("rollout-2") == 6
    assert layout.seating()["anchor"] == ["machine 1 GPU 3"]
    with pytest.raises(LookupError):
        layout.device("rollout-3")


def test_the_machine_of_rank_0_holds_what_is_published() -> None:
    through_the_store = config("weights.path=host")
    head, worker = first(through_the_store, Machine(host_gb=64), Machine(gpus=2, gpu_gb=48)).hosts
    assert worker.parts["host"]["published"] == 2 * head.parts["host"]["published"]
    assert "clips" in head.parts["host"]


def test_unknown_host_memory_is_not_checked() -> None:
    assert first(config(), Machine(gpus=2, gpu_gb=48)).excess < 0


def test_a_layout_is_json_even_where_memory_is_unknown() -> None:
    layout = first(config(), Machine(gpus=2, gpu_gb=48))
    document = json.loads(json.dumps(layout.as_dict(), allow_nan=False))
    assert document["hosts"][0]["limit_gb"] is None
    assert document["places"] == {"learner": [0], "rollout": [1], "anchor": [1]}

import pytest

from cluster.start.seats import Seats, dealt, gpu_memory, line
from videothinker.errors import PlacementError


def test_memory_is_that_of_the_smallest_gpu() -> None:
    assert gpu_memory("49140\n24564\n", "10.0.0.1") == 25.8  # 24564 MiB in 1e9 bytes


@pytest.mark.parametrize(
    "said", ["", "\n", "[N/A]\n", "49140\nNVIDIA-SMI has failed\n", "49140 MiB\n"]
)
def test_what_is_no_number_of_mib_is_refused_with_what_was_said(said: str) -> None:
    with pytest.raises(PlacementError) as caught:
        gpu_memory(said, "10.0.0.1")
    assert "machine 10.0.0.1" in str(caught.value)
    assert (" ".join(said.split()) or "no answer") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_plan_an_engine_has_a_gpu_alone_and_a_loader_none() -> None:
    assert Seats("cuda").options("rollout-3")["num_gpus"] == 1
    assert Seats("cuda").options("loader-0")["num_gpus"] == 0


def test_cores_are_shared() -> None:
    Seats("cpu").require_room(1000, 1000)


def test_each_role_is_dealt_out_over_all_machines_from_the_drivers_on() -> None:
    homes: dict[str, str] = {}
    for name in ("rollout-0", "rollout-1", "loader-0", "rollout-2", "rollout-3"):
        homes[name] = dealt(name, homes, "m", {"z", "a", "m"})
    assert list(homes.values()) == ["m", "a", "m", "z", "m"]


def test_a_machine_that_joined_gets_the_next_process() -> None:
    assert dealt("rollout-2", {"rollout-0": "m", "rollout-1": "m"}, "m", {"m", "new"}) == "new"


def test_seats_are_told_in_one_line() -> None:
    seating = {"kind": "split", "learner": ["GPU 0"], "rollout": ["GPU 1", "GPU 1"], "anchor": []}
    assert line(seating) == "split; learner GPU 0; rollout GPU 1, GPU 1"

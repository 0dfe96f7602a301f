import os
from pathlib import Path

import pytest
from builders import shipped_config as config

from cluster.start.seats import Seats, dealt, gpu_memory, line, look, require_way
from videothinker.errors import InputError, PlacementError
from videothinker.model.families.known import KNOWN
from videothinker.planning.layout import Machine
from videothinker.planning.placement import plan


def answer(memory: str) -> str:
    return f"NVIDIA RTX A6000, {memory}, 20000, 580.95.05, 8.6\n"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What this machine's nvidia-smi prints."""
    program, words = tmp_path / "nvidia-smi", tmp_path / "words"
    program.write_text(f"#!/bin/sh\ncat {words}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return words


def test_memory_is_that_of_the_smallest_gpu(says: Path) -> None:
    says.write_text(answer("49140") + answer("24564"))
    said, host_gb = look(True)
    assert gpu_memory(said, "10.0.0.1") == 25.8  # 24564 MiB in 1e9 bytes
    assert host_gb > 0


def test_a_machine_whose_gpus_ray_does_not_count_is_not_asked_for_them(says: Path) -> None:
    says.write_text("NVIDIA-SMI has failed\n")
    assert look(False)[0] == 0.0


@pytest.mark.parametrize(
    "said",
    ["", "\n", answer("[N/A]"), answer("49140") + "NVIDIA-SMI has failed\n", answer("49140 MiB")],
)
def test_what_is_no_number_of_mib_is_refused_with_what_was_said(says: Path, said: str) -> None:
    says.write_text(said)
    with pytest.raises(PlacementError) as caught:
        gpu_memory(look(True)[0], "10.0.0.1")
    assert "machine 10.0.0.1" in str(caught.value)
    assert ((said.splitlines() or [""])[-1] or "nothing") in str(caught.value)
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


@pytest.mark.parametrize(
    ("path", "gpus", "said"),
    [
        (
            "ipc",
            2,
            "weights.path = 'ipc': rollout-0 is on GPU 1, and the learner's rank 0 on GPU",
        ),
        ("nccl", 1, "weights.path = 'nccl': rollout-0 and the learner's rank 0 share GPU 0"),
    ],
)
def test_a_way_that_the_seats_do_not_allow_is_refused_before_anything_is_loaded(
    path: str, gpus: int, said: str
) -> None:
    machine = Machine(gpus=gpus, gpu_gb=80, host_gb=256)
    layout = plan(config(), KNOWN["Qwen2.5-VL-3B-Instruct"], [machine])
    with pytest.raises(InputError) as caught:
        require_way(config(f"weights.path={path}"), layout)
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("Use weights.path = auto")
    require_way(config(), layout)

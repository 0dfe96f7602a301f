"""Seats on three simulated machines whose GPUs exist for Ray alone.

The driver's has one GPU, the others two; an nvidia-smi that answers as an A6000's does
stands in for the driver.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import remove_placement_group

import cluster.start.seats
from cluster.start.launch import actor, start_ray
from cluster.start.seats import PlannedSeats, Seats, living, machines
from videothinker.config.loading import load_config
from videothinker.config.settings import ClusterConfig, RunConfig, WeightsConfig
from videothinker.errors import InputError, PlacementError

CONFIG = Path(__file__).parents[2] / "configs" / "cdpo_2xa6000.yaml"
GPUS = (1, 2, 2)


class Sitter:
    """Knows where it sits."""

    def pulse(self) -> None:
        """As every actor."""

    def where(self) -> tuple[str, int]:
        """Machine and GPU."""
        node, (gpu,) = self.has()
        return node, gpu

    def has(self) -> tuple[str, list[int]]:
        """Machine and all GPUs."""
        return ray.get_runtime_context().get_node_id(), sorted(map(int, ray.get_gpu_ids()))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The machines; this process is the first one's driver."""
    folder = tmp_path_factory.mktemp("bin")
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\nfor gpu in 0 1; do echo A6000, 49140, 48000, 580.95.05, 8.6; done\n"
    )
    tool.chmod(0o755)
    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)  # Ray keeps to a process's first one
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=":")
        simulated = Cluster()
        for gpus in GPUS:
            simulated.add_node(num_cpus=1, num_gpus=gpus, include_dashboard=False)
        with closing(start_ray(ClusterConfig(address=simulated.address, device="cuda"), "three")):
            yield simulated
        ray.shutdown()
        simulated.shutdown()


@pytest.fixture(scope="module")
def config(mini_base: Path) -> RunConfig:
    """The two stages of the paper with a tiny model, as if on GPUs."""
    return load_config(CONFIG, [f"model.path={mini_base}"])


@pytest.fixture(scope="module")
def seats(three: Cluster, config: RunConfig) -> Seats:
    """Learner, rollout worker and scorer, a GPU each; the last machine's are nobody's."""
    return PlannedSeats(config, rollouts=1, scorers=1)


def sit(seats: Seats, *names: str) -> list[Any]:
    return [actor(Sitter, **seats.options(name)).remote() for name in names]


def where(sitters: list[Any]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = ray.get([one.where.remote() for one in sitters], timeout=60)
    return found


def test_a_way_of_the_weights_that_the_seats_do_not_allow_reserves_nothing(
    three: Cluster, config: RunConfig
) -> None:
    apart = config.model_copy(update={"weights": WeightsConfig(path="ipc")})
    with pytest.raises(InputError, match=r"weights\.path = 'ipc': rollout-0 is on GPU"):
        PlannedSeats(apart, rollouts=1, scorers=1)
    assert ray.available_resources()["GPU"] == sum(GPUS)


def test_an_engine_over_two_gpus_has_both_of_one_machine_and_nobody_else_has(
    three: Cluster, config: RunConfig, even_base: Path
) -> None:
    model = config.model.model_copy(update={"path": even_base})
    rollout = config.rollout.model_copy(update={"tensor_parallel": 2})
    wide = config.model_copy(update={"model": model, "rollout": rollout})
    seats = PlannedSeats(wide, rollouts=1, scorers=1)
    sitters = sit(seats, "learner-0", "rollout-0", "anchor-0")
    learner, engine, scorer = ray.get([one.has.remote() for one in sitters], timeout=180)
    assert [len(gpus) for _, gpus in (learner, engine, scorer)] == [1, 2, 1]
    assert len({learner[0], engine[0], scorer[0]}) == 3
    assert seats.seating()["rollout"] == ["machine 1 GPU 0 to 1"]
    for one in sitters:
        ray.kill(one)
    remove_placement_group(seats._strategies[range(1)].placement_group)


def test_machines_are_asked_for_their_memory_the_drivers_first(three: Cluster) -> None:
    found = machines({})
    assert next(iter(found)) == ray.get_runtime_context().get_node_id()
    assert [(one.gpus, one.gpu_gb) for one in found.values()] == [(1, 51.5), (2, 51.5), (2, 51.5)]
    assert all(one.host_gb for one in found.values())


def test_each_process_sits_on_the_gpu_that_the_plan_says(seats: PlannedSeats) -> None:
    learner, rollout, scorer = where(sit(seats, "learner-0", "rollout-0", "anchor-0"))
    nodes = list(seats.machines)
    owners = seats.layout.owners
    assert [learner[0], rollout[0], scorer[0]] == [nodes[owners[index]] for index in (0, 1, 2)]
    assert len({learner, rollout, scorer}) == 3


def test_a_run_that_others_leave_no_gpus_for_is_refused(
    seats: Seats, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.start.seats, "WAIT_SECONDS", 5.0)
    with pytest.raises(PlacementError, match=r"takes 3 GPUs.* 2 of the cluster's 5 are free"):
        PlannedSeats(config, rollouts=1, scorers=1)


def test_more_workers_sit_beside_others_only_as_memory_allows(seats: PlannedSeats) -> None:
    before = seats.layout
    with pytest.raises(PlacementError, match="no room for 60 rollout workers"):
        seats.require_room(60, 1)
    assert seats.layout is before
    seats.require_room(2, 1)
    assert seats.layout.places["rollout"][0] == before.places["rollout"][0]
    (new,) = where(sit(seats, "rollout-1"))
    assert new[0] == list(seats.machines)[seats.layout.owners[seats.layout.device("rollout-1")]]


def test_whoever_sat_on_a_lost_machine_gets_a_free_gpu(three: Cluster, seats: PlannedSeats) -> None:
    seats.require_room(1, 1)
    lost = list(seats.machines)[seats.layout.owners[seats.layout.device("anchor-0")]]
    (node,) = [one for one in three.list_all_nodes() if one.node_id == lost]
    three.remove_node(node, allow_graceful=False)
    while lost in living():
        time.sleep(0.2)
    ((anew, _),) = where(sit(seats, "anchor-0"))
    assert anew != lost

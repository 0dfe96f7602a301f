"""Where each process of a run sits: the planner's layout, in Ray's words.

Who may share a GPU is decided by memory (`planning/placement.py`), which Ray knows nothing of: it
fills one GPU after another, and so puts two learner ranks on one. So a GPU in use is reserved
whole, on the machine that the plan says, and who sits there asks for a token part of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from cluster.workers.delivery import way
from videothinker.config.settings import Device, RunConfig
from videothinker.errors import InputError, PlacementError
from videothinker.model.families.known import shape_of
from videothinker.planning.layout import Layout, Machine
from videothinker.planning.placement import changed, grow, plan
from videothinker.planning.plan import memory_here
from videothinker.process.gpus import NoDriver, gpus

logger = logging.getLogger(__name__)

TOKEN_PART = 0.01
"""Of a reserved GPU: how much of its memory a process takes is the plan's business."""
WAIT_SECONDS = 60.0
"""For the GPUs of a plan to be free, and for a machine to say how much memory it has."""
GROW_SECONDS = 5.0
"""For the GPUs of more workers: whoever asks `videothinker scale` for them waits for the answer."""
NODE = "ray.io/node-id"


class Seats:
    """Without a plan: each role is dealt out over the machines; on GPUs an engine has one alone."""

    engine_share = 0.0
    """vLLM's gpu_memory_utilization; 0 leaves it at its default."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._homes: dict[str, str] = {}

    def options(self, name: str) -> dict[str, Any]:
        """What Ray is told of where a process goes."""
        if self._device == "cuda":
            return {"num_gpus": int(not is_loader(name)), "scheduling_strategy": "SPREAD"}
        self._homes.pop(name, None)
        home = dealt(name, self._homes, ray.get_runtime_context().get_node_id(), living())
        self._homes[name] = home
        # what Ray calls a soft affinity leaves the choice to it even where the machine lives
        there = NodeAffinitySchedulingStrategy(home, soft=False)
        return {"num_gpus": 0, "scheduling_strategy": there}

    def require_room(self, rollouts: int, scorers: int) -> None:
        """Make room for so many, or raise PlacementError. Cores are shared, so nothing is refused:
        what the plan says of a CPU's memory is too rough, and leaves other machines out.
        """

    def seating(self) -> dict[str, Any]:
        """What `status.json` and `videothinker status` say of it."""
        return {"kind": self._device}


class PlannedSeats(Seats):
    """On GPUs: each process of a run on the one that the plan gives it."""

    def __init__(self, config: RunConfig, rollouts: int, scorers: int) -> None:
        """Plan over the machines that are there, and reserve their GPUs; PlacementError where the
        run does not fit, or where others hold them."""
        super().__init__("cuda")
        self._config = config
        self._shape = shape_of(config.model.path)
        self.machines = machines({})
        wanted = sized(config, rollouts, scorers)
        self.layout = plan(wanted, self._shape, list(self.machines.values()))
        require_way(wanted, self.layout)
        self._strategies: dict[range, PlacementGroupSchedulingStrategy] = {}
        self._pinned: dict[range, str] = {}
        self._reserve(self.layout.bundles, self.layout.owners, WAIT_SECONDS)
        self.engine_share = self.layout.engine_share
        logger.warning("seats: %s", line(self.seating()))

    def options(self, name: str) -> dict[str, Any]:
        """What Ray is told of where a process goes; where its machine was lost, to any free GPU."""
        if is_loader(name):
            return {"num_gpus": 0, "scheduling_strategy": "SPREAD"}
        device = self.layout.device(name)
        [seat] = [bundle for bundle in self.layout.bundles if device in bundle]
        # who has several shares none of them
        part = TOKEN_PART if len(seat) == 1 else len(seat)
        return {"num_gpus": part, "scheduling_strategy": self._strategy(seat)}

    def require_room(self, rollouts: int, scorers: int) -> None:
        """Seat so many, on machines that joined since as well, or raise PlacementError."""
        found = machines(self.machines)
        alive = living()
        gone = [number for number, node in enumerate(found) if node not in alive]
        wanted = sized(self._config, rollouts, scorers)
        layout = grow(self.layout, wanted, self._shape, list(found.values()), gone)
        try:
            require_way(wanted, layout)
        except InputError as error:
            raise PlacementError(str(error)) from error
        self.machines = found
        more = [bundle for bundle in layout.bundles if bundle not in self._strategies]
        self._reserve(more, layout.owners, GROW_SECONDS)
        self.layout = layout

    def seating(self) -> dict[str, Any]:
        return self.layout.seating()

    def _reserve(self, seats: Sequence[range], owners: Sequence[int], seconds: float) -> None:
        if not seats:
            return
        nodes = [list(self.machines)[owners[seat.start]] for seat in seats]
        bundles = [{"GPU": float(len(seat))} for seat in seats]
        group = placement_group(bundles, bundle_label_selector=[{NODE: node} for node in nodes])
        if not group.wait(seconds):
            remove_placement_group(group)
            free, all_of_them = (
                resources.get("GPU", 0.0)
                for resources in (ray.available_resources(), ray.cluster_resources())
            )
            raise PlacementError(
                f"the plan takes {sum(map(len, seats))} GPUs, and after {seconds:g} s {free:g} of"
                f" the cluster's {all_of_them:g} are free: other jobs hold the rest. Wait for them"
                " (`ray status` names what is in use), or use fewer"
            )
        for bundle, (seat, node) in enumerate(zip(seats, nodes, strict=True)):
            self._strategies[seat] = PlacementGroupSchedulingStrategy(group, bundle)
            self._pinned[seat] = node

    def _strategy(self, seat: range) -> PlacementGroupSchedulingStrategy:
        if seat in self._pinned and self._pinned[seat] not in living():
            del self._pinned[seat]
            elsewhere = placement_group([{"GPU": float(len(seat))}])
            self._strategies[seat] = PlacementGroupSchedulingStrategy(elsewhere, 0)
        return self._strategies[seat]


def require_way(config: RunConfig, layout: Layout) -> None:
    """InputError where weights cannot go from learner to engines as the configuration says."""
    first = f"GPU {layout.device('learner-0')}"
    for number, place in enumerate(layout.places["rollout"]):
        way(config.weights.path, f"rollout-{number}", f"GPU {place}", first)


def is_loader(name: str) -> bool:
    """The one role that needs no GPU."""
    return name.startswith("loader-")


def dealt(name: str, homes: Mapping[str, str], here: str, nodes: Collection[str]) -> str:
    """A machine for a process: the one with the fewest of its role, the driver's own first.

    `homes` are those of the others. Ray's SPREAD looks at processes of all roles together, and puts
    every engine on one machine where it puts the others on the other.
    """
    role = name.rpartition("-")[0]
    taken = Counter(home for other, home in homes.items() if other.rpartition("-")[0] == role)
    return min(nodes, key=lambda node: (taken[node], node != here, node))


def sized(config: RunConfig, rollouts: int, scorers: int) -> RunConfig:
    """The configuration with other numbers of processes."""
    return changed(config, {"rollout.workers": rollouts, "cluster.scorers": scorers})


def line(seating: Mapping[str, Any]) -> str:
    """A seating in one line."""
    roles = [f"{role} {', '.join(on)}" for role, on in seating.items() if role != "kind" and on]
    return "; ".join([seating["kind"], *roles])


def living() -> Collection[str]:
    """Identifiers of the cluster's machines that are alive, as Ray knows them."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def machines(known: Mapping[str, Machine]) -> dict[str, Machine]:
    """Those known, lost ones included, then those that are new: the driver's, then by GPUs."""
    here = ray.get_runtime_context().get_node_id()
    new = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in known]
    new.sort(key=lambda node: (node["NodeID"] != here, -gpus_of(node)))
    answers = [ask(node["NodeID"], gpus_of(node)) for node in new]
    found = dict(known)
    for node, answer in zip(new, answers, strict=True):
        address, count = node["NodeManagerAddress"], gpus_of(node)
        try:
            said, host_gb = ray.get(answer, timeout=WAIT_SECONDS)
        except RayError as error:
            raise PlacementError(
                f"machine {address} of the Ray cluster does not say how much memory it has"
                f" ({type(error).__name__}). Take it out of the cluster, or mend it"
            ) from error
        gpu_gb = gpu_memory(said, address)
        found[node["NodeID"]] = Machine(gpus=count, gpu_gb=gpu_gb, host_gb=host_gb)
    return found


def gpus_of(node: Mapping[str, Any]) -> int:
    return int(node["Resources"].get("GPU", 0))


def ask(node: str, gpus: int) -> Any:
    """A machine's answer: GB of its smallest GPU, and of its own memory."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=there)(look).remote(bool(gpus))


def look(has_gpus: bool) -> tuple[float | str, float]:
    """Runs on the machine that is asked: GB of its smallest GPU, or why that is not known."""
    host_gb = round(memory_here(), 1)
    try:
        return min(gpu.gb for gpu in gpus()) if has_gpus else 0.0, host_gb
    except NoDriver as error:
        return str(error), host_gb


def gpu_memory(said: float | str, machine: str) -> float:
    """The size that a machine has told."""
    if isinstance(said, str):
        raise PlacementError(
            f"machine {machine}: Ray counts GPUs there, and their driver does not tell how large"
            f" they are: {said}. Mend it there, or start Ray there with --num-gpus=0"
        )
    return said

"""Configuration -> running actors; and everything stopped again afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args

import ray

from actors.anchor import AnchorScorer
from actors.loader import PromptLoader
from actors.rollout import RolloutWorker
from cluster.start.connecting import connect
from cluster.start.own_ray import end_own, lasting_parts, start_own
from cluster.start.quiet import keeping_sigterm, quiet_errors, tame_ray
from cluster.start.roster import Roster
from cluster.start.scaling import Scaling
from cluster.start.seats import PlannedSeats, Seats
from cluster.start.store import spilled_bytes, store_bytes, watch_spill
from cluster.start.vigil import Vigil, over_cluster, over_own
from cluster.start.worker import begin
from cluster.workers.background import Background
from cluster.workers.fleet import Anchor, Fleet, Loader, Rollouts
from cluster.workers.learner import Learner
from cluster.workers.occupancy import observe
from cluster.workers.pool import Notice, Pool
from cluster.workers.process import PULSE, Process
from learner.rank import LearnerRank
from videothinker import cpu_torch
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    Device,
    FaultsConfig,
    RolloutConfig,
    RunConfig,
    WeightsPath,
    weights_path,
)
from videothinker.errors import InputError, VideoThinkerError
from videothinker.model.checkpoint import Budget, budget_of
from videothinker.model.families.known import shape_of
from videothinker.packages import OWN_NAMES, ROOT
from videothinker.planning.disk import state_gb
from videothinker.planning.memory import store_gb
from videothinker.planning.passes import GB
from videothinker.process import metrics
from videothinker.process.device import THREADS
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import ray_job
from videothinker.types import SkipKind

START_ATTEMPTS = 3
SLOW_START = "timed out during startup"
"""What Ray says when a busy machine needs more than its 30 seconds, which cannot be set."""


@contextmanager
def launch(config: RunConfig, run: RunDirectory) -> Iterator[Fleet]:
    """Start Ray if no cluster is named, then every role; stop what was started at the end."""
    start_counting(config, run.path)
    with (
        closing(Roster(run, config.cluster.metrics_host, config.cluster.metrics_tls)) as roster,
        ray_running(config.cluster, store_gb(config, shape_of(config.model.path))) as vigil,
        closing(Crew(config.faults, config.cluster.device, roster)) as crew,
    ):
        vigil.tell(crew.background.fail)
        vigil.tell(partial(note_loss, roster, run))
        scaling = Scaling(config, run)
        fleet = crew.fleet(config, **scaling.counts())
        for watching in (scaling.follow(fleet), observe(fleet), watch_spill()):
            fleet.background.start(watching)
        yield fleet


def note_loss(roster: Roster, run: RunDirectory, lost: VideoThinkerError) -> None:
    """Ray itself is lost. Everything about it at once: Ray's code may end this process, too."""
    run.status(state="failed", error=f"{lost}. The same command goes on")
    roster.notice(Notice(role="ray", worker="ray", event="lost", reason=str(lost)))


@contextmanager
def ray_running(cluster: ClusterConfig, room_gb: float | None = None) -> Iterator[Vigil]:
    """Connected to the named cluster, or to a private one on the loopback that ends with us; that
    one's object store has the size given, if the machine has room for it. Somebody looks whether
    it is there.
    """
    mark = secrets.token_hex(16)
    with ExitStack() as ending:
        ending.callback(end_own, mark)
        with quiet_errors(), keeping_sigterm():
            vigil = start_ray(cluster, mark, room_gb)
        ending.callback(vigil.close)
        with vigil.named():
            yield vigil


def start_ray(cluster: ClusterConfig, mark: str, room_gb: float | None = None) -> Vigil:
    """Connect, or start what can be connected to, which then carries the mark."""
    options: dict[str, Any] = {
        "runtime_env": {
            "env_vars": worker_environment(),
            "worker_process_setup_hook": f"{begin.__module__}.{begin.__name__}",
        },
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    tame_ray()
    address = cluster.address or os.environ.get("RAY_ADDRESS")  # set inside a Ray job
    # what a job's own environment says of the same variables must not end it
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    if address:
        options["runtime_env"] |= code_for_others()
        connect(address, **options)
        return over_cluster(address)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            logs = start_own(store_bytes(room_gb), mark, **options)
            return over_own(lasting_parts(mark), logs)
        except Exception as error:  # Ray has no narrower one for a node that is slow to start
            if attempt == START_ATTEMPTS or SLOW_START not in str(error):
                raise
            end_own(mark)
    raise AssertionError("the last attempt returns or raises")


def code_for_others() -> dict[str, Any]:
    """Our packages, for machines that do not have them; a job may have uploaded them already."""
    if ray_job().get("runtime_env", {}).get("working_dir"):
        return {}
    return {"py_modules": [str(ROOT / name) for name in OWN_NAMES]}


def worker_environment() -> dict[str, str]:
    """What every actor's process finds in its environment."""
    places = [cpu_torch.FOLDER, str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(dict.fromkeys(place for place in places if place))
    # two unpinned torch processes lose most of their speed; the learner asks for more
    return {"PYTHONPATH": path, THREADS: "1"}


def beside_learner(config: RunConfig, rollouts: int, scorers: int) -> int | None:
    """How many processes compute on cores while the learner does; None where its threads are not
    ours.

    Without staleness everybody else waits for the learner, and on GPUs nobody else needs cores: it
    may have all, for the optimizer's arithmetic where that is on the host.
    """
    if threads_are_set():
        return None
    overlapping = config.rollout.max_staleness and config.cluster.device == "cpu"
    return rollouts * config.rollout.tensor_parallel + scorers if overlapping else 0


def threads_are_set() -> bool:
    """By somebody: Ray gives one to whatever it starts, the driver of a job too."""
    job = ray_job()
    return THREADS in (job.get("runtime_env", {}).get("env_vars", {}) if job else os.environ)


class Crew:
    """Starts the processes of a run, and replaces them for as long as it is open."""

    def __init__(self, faults: FaultsConfig, device: Device, roster: Roster | None = None) -> None:
        self._faults = faults
        self._device = device
        self._seats = Seats(device)
        self._roster = roster
        self.background = Background()
        self._pools: list[Pool] = []
        self._learner: Learner | None = None

    def fleet(self, config: RunConfig, rollouts: int, scorers: int) -> Fleet:
        """All roles at once, since each takes seconds to start."""
        if self._device == "cuda":
            self._seats = PlannedSeats(config, rollouts, scorers)
        self._seated()
        dtype, temperature = config.model.dtype, config.sampling.temperature
        learner = self.learner(
            config.learner.ranks,
            beside_learner(config, rollouts, scorers),
            weights_path(config),
            config.rollout.tensor_parallel,
        )
        fleet = Fleet(
            background=self.background,
            loader=self.loader(config.model.path, config.data, budget_of(config)),
            rollouts=self.rollouts(
                *(config.model.path, dtype, config.rollout, config.sampling.max_tokens, rollouts),
                lora=config.learner.lora,
            ),
            anchor=self.anchor(
                dtype, temperature, scorers, None if config.cluster.scorers else learner
            ),
            learner=learner,
            require_room=self._require_room,
            spilled_bytes=spilled_bytes,
        )
        fleet.learner.start()
        return fleet

    def loader(self, model: Path, data: DataConfig, budget: Budget) -> Loader:
        """The processes that decode and preprocess for a model."""
        start = self._starter(PromptLoader, model, data, budget.video, budget.longest_prompt)
        pools = [self._pool("loader", start, 1, first=index) for index in range(data.loaders)]
        return Loader(pools, self._faults)

    def rollouts(
        self,
        model: Path,
        dtype: str,
        rollout: RolloutConfig,
        max_tokens: int,
        count: int,
        lora: LoraConfig | None = None,
    ) -> Rollouts:
        """The engines, each alone in its process; with `lora` they are sent adapters."""
        start = self._starter(
            RolloutWorker,
            *(model, dtype, rollout, max_tokens, self._device, self._seats.engine_share, lora),
            named=True,
            threads=rollout.units_at_once + rollout.in_flight,  # the last for what interrupts
        )
        pool = self._pool(
            "rollout", start, count, at_once=rollout.units_at_once, interrupting=rollout.in_flight
        )
        return Rollouts(self.background, pool, self._faults, rollout.sleep)

    def anchor(
        self, dtype: str, temperature: float, count: int, learner: Learner | None = None
    ) -> Anchor:
        """The frozen scorers, without a model yet; or the learner in their place."""
        start = self._starter(AnchorScorer, dtype, temperature, self._device)
        pool = self._pool("anchor", start, count, at_once=2)  # one waits while one is scored
        return Anchor(self.background, pool, self._faults, learner)

    def learner(
        self, ranks: int, beside: int | None, path: WeightsPath = "host", receivers: int = 1
    ) -> Learner:
        """The learner, not started yet."""
        start = self._starter(LearnerRank, self._device, beside)
        self._learner = Learner(
            self.background, start, ranks, self._faults, self._notice, path, receivers
        )
        return self._learner

    def close(self) -> None:
        """End every process that was started here."""
        try:
            for pool in self._pools:
                self.background.run(pool.close())
            if self._learner is not None:
                self._learner.close()
        finally:
            self.background.close()

    def _pool(
        self, role: str, start: Callable[[str], Awaitable[Process]], count: int, **options: Any
    ) -> Pool:
        pool = Pool(role, start, self._faults, self._notice, **options)
        self._pools.append(pool)
        self.background.call(pool.resize, count)
        return pool

    def _starter(
        self, cls: type, *arguments: Any, named: bool = False, threads: int = 1
    ) -> Callable[[str], Awaitable[Process]]:
        async def start(name: str) -> Process:
            own = (name, *arguments) if named else arguments
            process = Process(name, actor(cls, threads, **self._seats.options(name)).remote(*own))
            limit = self._faults.start_seconds
            roster = self._roster
            shown = () if roster is None else (roster.metrics_host, roster.metrics_tls)
            place = await process.call("starting", limit, "serve_metrics", *shown)
            if self._roster is not None:
                self._roster.joined(name, place)
            return process

        return start

    def _require_room(self, rollouts: int, scorers: int) -> None:
        self._seats.require_room(rollouts, scorers)
        self._seated()

    def _seated(self) -> None:
        if self._roster is not None:
            self._roster.seated(self._seats.seating())

    def _notice(self, notice: Notice) -> None:
        if self._roster is not None:
            self._roster.notice(notice)


def actor(cls: type, threads: int = 1, **seat: Any) -> Any:
    """A plain class as a Ray actor in its seat.

    `threads`: calls that it answers at the same time, its signs of life aside.
    """
    return ray.remote(num_cpus=0, max_concurrency=threads, concurrency_groups={PULSE: 1}, **seat)(
        cls
    )


def start_counting(config: RunConfig, disk: Path) -> None:
    """What the driver exports from the beginning: a counter that appears with its first event
    would hide that event from every rate.
    """
    for role in (*metrics.EXPORTED, "ray"):
        metrics.RESTARTS.labels(role)
    for kind in get_args(SkipKind):
        metrics.SAMPLES_SKIPPED.labels(kind)
    metrics.DISK_FREE.set_function(lambda: shutil.disk_usage(disk).free)
    metrics.STATE_BYTES.set(0)
    with suppress(InputError):
        metrics.STATE_BYTES.set(GB * state_gb(config, shape_of(config.model.path)))
    metrics.MAX_STALENESS.set(config.rollout.max_staleness)
    metrics.MAX_SKIPPED_SHARE.set(config.data.max_skipped_share)

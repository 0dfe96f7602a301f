"""One learner rank: groups in, one update of the policy, new weights out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from learner.deepspeed_engine import (
    Trainee,
    connect,
    max_over_ranks,
    meet,
    meeting_point,
    non_finite,
    random_state,
    ranks_here,
    restore_random_state,
)
from learner.losses import Assignment, Losses, RowGroups, Share
from learner.rows import (
    StepTotals,
    averaged,
    learning_rate,
    require_agreement,
    row_sizes,
)
from videothinker.config.kl import AnchorView
from videothinker.config.settings import Device
from videothinker.errors import DivergenceError, InputError
from videothinker.files import disk_errors, file_digest, on_disk
from videothinker.method.objective import repulsion_ratio
from videothinker.model.adapters import POLICY, save_adapter
from videothinker.model.card import ModelLineage
from videothinker.model.checkpoint import model_digest, save_model
from videothinker.model.families.known import shape_of
from videothinker.model.flops import training_flops
from videothinker.model.parts import as_part, divided
from videothinker.model.policy import load_head, opinion
from videothinker.model.transfer import Sender
from videothinker.process import metrics
from videothinker.process.address import own_address
from videothinker.process.device import card, let_go, set_threads, settle
from videothinker.process.pulse import Pulse
from videothinker.types import (
    INITIAL_VERSION,
    AnchorScores,
    LearnerReport,
    Prompt,
    RolloutGroup,
    Route,
    WeightsPart,
)


class LearnerRank(Pulse):
    """Holds one rank of the policy; all ranks make the same calls in the same order."""

    role = "learner"

    def __init__(self, device: Device, beside: int | None = None) -> None:
        """`beside`: processes that compute while it does; None leaves torch's threads alone."""
        self._device = device
        self._beside = beside
        self._rank = 0
        self._world = 1
        self._version = INITIAL_VERSION
        self._held: int | None = None
        self._ahead: StepTotals | None = None
        self._ahead_seconds = 0.0
        settle(device)

    def meeting_point(self) -> tuple[str, int]:
        """This machine's address and the port where the other ranks find rank 0."""
        self._meeting_point = meeting_point(own_address())
        return own_address(), self._meeting_point.port

    def connect(self, rank: int, world: int, host: str, port: int) -> None:
        """Join the other ranks at the meeting point that rank 0 named."""
        self._rank, self._world = rank, world
        with self.doing("joining the other ranks"):
            store = meet(host, port) if rank else self._meeting_point
            if self._beside is not None:
                cores = len(os.sched_getaffinity(0)) - self._beside
                set_threads(max(1, cores // ranks_here(store, rank, world)))
            connect(rank, world, store, self._device)

    def start_stage(self, assignment: Assignment) -> list[int]:
        """Load the stage's initial model; returns the bytes of each part in which it is published.

        A run does so once in a process: DeepSpeed does not let go of what it made before.
        """
        self._trainee: Trainee | None = None
        self._task = assignment
        with self.doing("loading the model"):
            head = None
            if assignment.anchor is not None:
                head = load_head(assignment.anchor, assignment.dtype).to(self._device)
            self._trainee = Trainee(
                *(assignment.model, assignment.dtype, assignment.learner),
                *(assignment.seed, assignment.asked),
            )
            self._losses = Losses(
                trainee=self._trainee,
                task=assignment,
                anchor_head=head,
                world=self._world,
                device=self._device,
            )
            sizes = self._trainee.sizes
            self._parts = divided(sizes)
            self._shape = shape_of(assignment.model)
            if self._rank == 0:
                plan = [[self._trainee.entries[name] for name in part] for part in self._parts]
                self._sender = Sender(self._meeting_point, torch.device(self._device), plan)
        return [sum(sizes[name] for name in part) for part in self._parts]

    def step(
        self, step: int, coefficient: float, shares: Sequence[Share], *prompts: Prompt
    ) -> LearnerReport:
        """An update on this rank's share of some groups, and one on each further share.

        `coefficient` is the divergence's in this step; without a direction it is not used. A group
        of weight 0 only keeps the ranks in step. `prompts` are all groups' prompts in the same
        order, arguments of their own so that the object store resolves them in place.
        """
        started = time.monotonic() - self._ahead_seconds
        self._ahead_seconds = 0.0
        with self.doing(f"step {step}, sharing the groups out over rows"):
            first, *later = self._rows(shares, prompts)
        updates: list[list[tuple[RowGroups, list[Tensor] | None]]] = [
            [(row, None) for row in first]
        ]
        with self.doing(f"step {step}, scoring what its later updates learn from"):
            updates += [[(row, self._losses.before(row)) for row in rows] for rows in later]
        rate = learning_rate(self._task.learner, step, self._task.steps)
        reports = []
        for number, rows in enumerate(updates, start=1):
            what = f"step {step}" if len(updates) == 1 else f"step {step}, update {number}"
            reports.append(self._update(what, rows, coefficient, rate))
        report = averaged(reports)
        report["repulsion_ratio"] = repulsion_ratio(report)
        report["learning_rate"] = rate
        metrics.LEARNER_STEPS.inc()
        self._count([scored.group for share in shares for scored, weight in share if weight])
        return LearnerReport(step=step, stats=report, seconds=time.monotonic() - started)

    def gather(
        self, step: int, coefficient: float, shares: Sequence[Share], *prompts: Prompt
    ) -> None:
        """Ahead of a step's update, the gradient of this rank's share of its first groups."""
        started = time.monotonic()
        self._ahead = self._ahead or StepTotals()
        for row in chain(*self._rows(shares, prompts)):
            with self.doing(f"step {step}, ahead of its last groups"):
                self._backward(f"step {step}", self._ahead, row, coefficient)
        self._count([scored.group for share in shares for scored, weight in share if weight])
        self._ahead_seconds += time.monotonic() - started

    def _backward(
        self,
        what: str,
        totals: StepTotals,
        row: RowGroups,
        coefficient: float,
        before: Sequence[Tensor] | None = None,
        *,
        last: bool = False,
    ) -> None:
        """One row's gradient, added to those of the rows before it."""
        weights = [weight * self._world for _, _, weight in row]
        losses, stats = self._losses.of(row, coefficient, self._version, before)
        self._require_finite(what, row, losses)
        loss = (losses * losses.new_tensor(weights)).sum()
        self._require_trainee().backward(loss, last=last)
        totals.add(stats, weights)

    def _update(
        self,
        what: str,
        rows: Sequence[tuple[RowGroups, Sequence[Tensor] | None]],
        coefficient: float,
        rate: float,
    ) -> dict[str, float]:
        """One update, of what was gathered ahead too; each row with its groups' log-probs before
        the step, where that is over."""
        totals, self._ahead = self._ahead or StepTotals(), None
        for place, (row, before) in enumerate(rows, start=1):
            with self.doing(f"{what}, row {place} of {len(rows)}"):
                last = place == len(rows)
                self._backward(what, totals, row, coefficient, before, last=last)
        with self.doing(f"{what}, averaging over the ranks"):
            report = totals.over_ranks()
        report["logprob_gap"] /= report["fresh_share"] or 1.0
        report["logprob_drift"] /= 1 - report["fresh_share"] or 1.0
        require_agreement(what, report["logprob_gap"], self._task.logprob_tolerance)
        self._held = None
        with self.doing(f"{what}, updating"):
            report["grad_norm"] = self._require_trainee().step(rate)
        if not np.isfinite(report["grad_norm"]):
            raise DivergenceError(
                f"{what}: the gradient is not finite; this update was not made. Resume from the "
                "last state with a lower learning rate or KL bound"
            )
        return report

    def _rows(self, shares: Sequence[Share], prompts: Sequence[Prompt]) -> list[list[RowGroups]]:
        """Of each update its rows, groups that share a forward pass."""
        following = iter(prompts)
        updates: list[list[RowGroups]] = []
        for share in shares:
            weights = self._losses.weights(share)
            left = iter(
                [
                    (scored, next(following), weight)
                    for (scored, _), weight in zip(share, weights, strict=True)
                ]
            )
            own = torch.tensor(max(float(scored.group.tokens) for scored, _ in share))
            sizes = row_sizes(len(share), int(max_over_ranks(own.to(self._device))))
            updates.append([list(islice(left, size)) for size in sizes])
        return updates

    def logprobs(
        self,
        group: RolloutGroup,
        prompt: Prompt,
        with_hidden: bool = False,
        view: AnchorView = "video",
    ) -> AnchorScores:
        """What an AnchorScorer says, of adapters of the model that is trained."""
        asked = self._require_trainee().voices, group, prompt, self._task.temperature
        with self.doing(f"scoring {group.question.id}"):
            return opinion(*asked, with_hidden=with_hidden, view=view)

    def _count(self, trained: Sequence[RolloutGroup]) -> None:
        lengths = [len(one.token_ids) for group in trained for one in group.completions]
        metrics.SAMPLES_TRAINED.inc(len(lengths))
        metrics.TOKENS_TRAINED.inc(sum(lengths))
        metrics.FLOPS.inc(
            sum(training_flops(self._shape, group, self._task.learner) for group in trained)
        )

    def publish(self, version: int, number: int) -> tuple[int, WeightsPart | None]:
        """The version, for the driver, and from rank 0 a part of the current policy."""
        if number == 0:
            self._lend()
        self._version = version
        metrics.WEIGHT_VERSION.set(version)
        trainee = self._require_trainee()
        part = {name: trainee.parameters[name] for name in self._parts[number]}
        gathered = trainee.gathered(list(part.values()))
        with self.doing(f"gathering part {number} of weights version {version}"), gathered:
            if self._rank != 0:
                return version, None
            return version, as_part(version, part.items(), copied=trainee.sharded)

    def hold(self, version: int) -> str:
        """The version of what it holds until the next step; returns the card that it lies on."""
        self._lend()
        self._version = self._held = version
        metrics.WEIGHT_VERSION.set(version)
        return card(self._device)

    def _lend(self) -> None:
        """Before engines wake: on a GPU torch keeps all that a step once took."""
        if self._task.lends:
            let_go(self._device)

    def send(self, version: int, route: Route) -> str:
        """Straight into an engine, from rank 0: all parts, for which all ranks gather.

        Returns why it broke off, if it did: that is the engine's end, not the learner's.
        """
        assert version == self._held, f"it holds version {self._held}, asked for {version}"
        trainee = self._require_trainee()
        with self.doing(f"sending weights version {version} to {route.receiver}"):
            sending = self._sender.begin(route, version) if self._rank == 0 else None
            for names in self._parts:
                part = {name: trainee.parameters[name] for name in names}
                with trainee.gathered(list(part.values())):
                    if sending is not None:
                        sending.part(part)
            return "" if sending is None else self._sender.end(route, sending)

    def stop_sending(self, link: int) -> None:
        """Whoever is linked so is gone. Meant for another thread than the one that sends."""
        self._sender.gone(link)

    def save_model(self, folder: Path, base: Path, lineage: ModelLineage | None = None) -> str:
        """Export a Hugging Face checkpoint, processor and all; returns its digest."""
        with self._require_trainee().whole() as model:
            if self._rank != 0:
                return ""
            task = self._task
            if task.learner.lora is None:
                save_model(model, folder, base, task.budget, task.temperature, lineage)
            else:
                save_adapter(model, POLICY, folder, base, task.budget, lineage)
        return model_digest(folder)

    def save_state(self, folder: Path) -> None:
        """What resuming needs of this rank, and `rank_N.json`: what that fits and its checksums."""
        with self.doing("saving its state"), disk_errors(folder):
            self._require_trainee().save_shards(folder)
            torch.save(random_state(), folder / f"random_{self._rank}.pt")
            torch.distributed.barrier()  # whatever the others write is on the disk
            written = sorted(path for path in folder.rglob("*") if path.suffix != ".json")
            mine = [path for path in written if path.is_file()][self._rank :: self._world]
            for path in mine:
                on_disk(path)  # from here: what this machine wrote, another cannot flush
            content = self._layout() | {
                "weights_version": self._version,
                "digests": {str(path.relative_to(folder)): file_digest(path) for path in mine},
            }
            (folder / f"rank_{self._rank}.json").write_text(json.dumps(content))

    def load_state(self, folder: Path) -> None:
        """What `save_state` wrote; the optimizer's parts fit the same ranks and stage only."""
        saved = json.loads((folder / "progress.json").read_text())
        for name, here in self._layout().items():
            if saved[name] != here:
                raise InputError(
                    f"{folder}: saved with learner.{name} = {saved[name]}, resumed with {here}. "
                    f"Resume with learner.{name} = {saved[name]}"
                )
        self._held = None
        self._require_trainee().load_shards(folder)
        restore_random_state(torch.load(folder / f"random_{self._rank}.pt", weights_only=True))

    def _layout(self) -> dict[str, int]:
        return {"ranks": self._world, "zero_stage": self._task.learner.zero_stage}

    def _require_finite(self, what: str, row: RowGroups, losses: Tensor) -> None:
        for (scored, _, _), wrong in zip(row, non_finite(losses.detach()), strict=True):
            if wrong:
                raise DivergenceError(
                    f"{what}: the loss of {scored.group.question.id} is not finite; this"
                    " update was not made. Resume from the last state with a lower learning rate"
                    " or KL bound"
                )

    def _require_trainee(self) -> Trainee:
        assert self._trainee is not None, "start_stage comes first"
        return self._trainee

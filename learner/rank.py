"""One learner rank: groups in, one update of the policy, new weights out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from learner.deepspeed_engine import (
    Trainee,
    connect,
    max_over_ranks,
    mean_over_ranks,
    meet,
    meeting_point,
    non_finite,
    random_state,
    ranks_here,
    restore_random_state,
)
from learner.rows import (
    StepTotals,
    learning_rate,
    padded,
    replayed,
    require_agreement,
    row_sizes,
    tokens,
)
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import Device
from videothinker.errors import DivergenceError, InputError
from videothinker.files import disk_errors, file_digest
from videothinker.method.objective import policy_loss, repulsion_ratio
from videothinker.model.adapters import POLICY, save_adapter
from videothinker.model.card import ModelLineage
from videothinker.model.checkpoint import Budget, model_digest, save_model
from videothinker.model.families.known import shape_of
from videothinker.model.flops import training_flops
from videothinker.model.parts import as_part, divided
from videothinker.model.policy import Anchored, completion_mask, load_head, opinion
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
    ScoredGroup,
    WeightsPart,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What a learner rank needs to know about a stage."""

    model: Path
    dtype: str
    learner: LearnerConfig
    kl: KLConfig
    temperature: float
    steps: int
    budget: Budget
    logprob_tolerance: float
    seed: int = 0
    anchor: Path | None = None
    """The checkpoint whose output head the estimator exact needs."""
    asked: Sequence[Path] = ()
    """What the learner itself is asked as: the anchor, and the model that it is compared with."""
    lends: bool = False
    """Between steps others have the memory that it then does not need."""


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
        self._anchor_head: Tensor | None = None
        self._task = assignment
        with self.doing("loading the model"):
            if assignment.anchor is not None:
                head = load_head(assignment.anchor, assignment.dtype)
                self._anchor_head = head.to(self._device)
            self._trainee = Trainee(
                *(assignment.model, assignment.dtype, assignment.learner),
                *(assignment.seed, assignment.asked),
            )
            sizes = self._trainee.sizes
            self._parts = divided(sizes)
            self._shape = shape_of(assignment.model)
            if self._rank == 0:
                plan = [[self._trainee.entries[name] for name in part] for part in self._parts]
                self._sender = Sender(self._meeting_point, torch.device(self._device), plan)
        return [sum(sizes[name] for name in part) for part in self._parts]

    def step(
        self,
        step: int,
        coefficient: float,
        share: Sequence[tuple[ScoredGroup, float]],
        *prompts: Prompt,
    ) -> LearnerReport:
        """One update on this rank's share of the groups.

        `coefficient` is the divergence's in this step; without a direction it is not used. `share`
        pairs each group with its weight in the mean over all ranks' groups; a group of weight 0
        only keeps the ranks in step. `prompts` are the groups' prompts in the same order, arguments
        of their own so that the object store resolves them in place.
        """
        started = time.monotonic()
        trainee = self._require_trainee()
        totals = StepTotals()
        with self.doing(f"step {step}, sharing the groups out over rows"):
            batch = list(zip(share, self._loss_weights(share), prompts, strict=True))
            own = torch.tensor(max(float(tokens(scored.group)) for scored, _ in share))
            longest = int(max_over_ranks(own.to(self._device)))
        done = 0
        for count in row_sizes(len(share), longest):
            row, done = batch[done : done + count], done + count
            groups = [(group, prompt) for (group, _), _, prompt in row]
            with self.doing(f"step {step}, groups {done - count + 1} to {done} of {len(share)}"):
                losses, stats = self._losses(trainee, coefficient, groups)
                self._require_finite(step, groups, losses)
                weights = [weight * self._world for _, weight, _ in row]
                loss = (losses * losses.new_tensor(weights)).sum()
                trainee.backward(loss, last=done == len(batch))
            totals.add(stats, weights)
        with self.doing(f"step {step}, averaging over the ranks"):
            report = totals.over_ranks()
        report["logprob_gap"] /= report["fresh_share"] or 1.0
        report["logprob_drift"] /= 1 - report["fresh_share"] or 1.0
        require_agreement(step, report["logprob_gap"], self._task.logprob_tolerance)
        report["repulsion_ratio"] = repulsion_ratio(report)
        report["learning_rate"] = learning_rate(self._task.learner, step, self._task.steps)
        self._held = None
        with self.doing(f"step {step}, updating"):
            report["grad_norm"] = trainee.step(report["learning_rate"])
        if not np.isfinite(report["grad_norm"]):
            raise DivergenceError(
                f"step {step}: the gradient is not finite; nothing was updated. Resume from the "
                "last state with a lower learning rate or KL bound"
            )
        metrics.LEARNER_STEPS.inc()
        self._count([scored.group for scored, weight in share if weight])
        return LearnerReport(step=step, stats=report, seconds=time.monotonic() - started)

    def logprobs(
        self, group: RolloutGroup, prompt: Prompt, with_hidden: bool = False
    ) -> AnchorScores:
        """What an AnchorScorer says, of adapters of the model that is trained."""
        with self.doing(f"scoring {group.question.id}"):
            voices, temperature = self._require_trainee().voices, self._task.temperature
            return opinion(voices, group, prompt, temperature, with_hidden=with_hidden)

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

    def _loss_weights(self, share: Sequence[tuple[ScoredGroup, float]]) -> list[float]:
        """Each group's part in the step's mean; of all tokens alike, its share of those."""
        if self._task.learner.aggregation == "sequence":
            return [weight for _, weight in share]
        counts = [sum(self._counted(scored.group)) if weight else 0 for scored, weight in share]
        here = torch.tensor(float(sum(counts)), device=self._device)
        everywhere = float(mean_over_ranks(here)) * self._world
        return [count / max(everywhere, 1.0) for count in counts]

    def _counted(self, group: RolloutGroup) -> list[int]:
        """How many tokens of each completion the loss sees."""
        left_out = "length" if self._task.learner.mask_truncated else ""
        return [
            0 if completion.finish_reason == left_out else len(completion.token_ids)
            for completion in group.completions
        ]

    def _require_finite(
        self, step: int, groups: Sequence[tuple[ScoredGroup, Prompt]], losses: Tensor
    ) -> None:
        for (scored, _), wrong in zip(groups, non_finite(losses.detach()), strict=True):
            if wrong:
                raise DivergenceError(
                    f"step {step}: the loss of {scored.group.question.id} is not finite; nothing"
                    " was updated. Resume from the last state with a lower learning rate or KL"
                    " bound"
                )

    def _losses(
        self, trainee: Trainee, coefficient: float, groups: Sequence[tuple[ScoredGroup, Prompt]]
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Of each group its loss and its statistics, from one forward pass."""
        asked = [
            (prompt, [completion.token_ids for completion in scored.group.completions])
            for scored, prompt in groups
        ]
        anchored = self._anchored([scored for scored, _ in groups])
        scores = trainee(asked, self._task.temperature, anchored)
        sizes = [len(completions) for _, completions in asked]
        parts = zip(*(values.split(sizes) for values in scores), strict=True)
        found = [
            self._group_loss(coefficient, scored, part)
            for (scored, _), part in zip(groups, parts, strict=True)
        ]
        return torch.stack([loss for loss, _ in found]), [stats for _, stats in found]

    def _group_loss(
        self, coefficient: float, scored: ScoredGroup, scores: Sequence[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From what the policy says of the group; [G, T] each, zero beyond a completion's end."""
        completions = scored.group.completions
        lengths = [len(completion.token_ids) for completion in completions]
        logp, entropy, *divergence = (values[:, : max(lengths)] for values in scores)
        mask = completion_mask(lengths, logp.device)
        sees_loss = torch.tensor(self._counted(scored.group), device=logp.device) > 0
        sampled = padded([completion.logprobs for completion in completions], logp)
        kl, learner = self._task.kl, self._task.learner
        anchor, felt = scored.anchor_logprobs, scored.divergence_mask
        loss, stats = policy_loss(
            logp,
            logp.detach(),  # exactly on-policy: the sampler held these very weights
            None if anchor is None else padded(anchor, logp),
            torch.from_numpy(scored.advantages).to(logp),
            mask * sees_loss[:, None],
            clip_low=learner.clip_low,
            clip_high=learner.clip_high,
            coefficient=0.0 if kl.direction == "none" else coefficient,
            direction=kl.direction,
            estimator=kl.estimator,
            bound=kl.bound,
            aggregation=learner.aggregation,
            divergence=divergence[0] if divergence else None,
            divergence_mask=None if felt is None else padded(felt, logp),
            sampler_logp=sampled,
            importance_cap=learner.importance_cap,
            replayed=replayed(scored.group).to(logp.device) if scored.group.replayed else None,
        )
        versions = padded([completion.weights_versions for completion in completions], mask)
        fresh = mask * (versions >= self._version)  # older weights differ, and may
        gap = (logp.detach() - sampled).abs() * mask
        tokens = mask.sum()
        stats |= {
            "loss": loss.detach(),
            "entropy": (entropy * mask).sum() / tokens,
            "logprob_gap": (gap * fresh).sum() / tokens,
            "logprob_gap_max": (gap * fresh).max(),
            "logprob_drift": (gap * (mask - fresh)).sum() / tokens,
            "fresh_share": fresh.sum() / tokens,
        }
        return loss, stats

    def _anchored(self, groups: Sequence[ScoredGroup]) -> Anchored | None:
        """What the exact divergence is computed from; None for the other estimators."""
        head = self._anchor_head
        if head is None:
            return None
        hidden = [states for scored in groups for states in scored.anchor_hidden or ()]
        assert hidden, "the anchor was not asked for its hidden states"
        return Anchored(head=head, hidden=torch.from_numpy(np.concatenate(hidden)).to(head))

    def _require_trainee(self) -> Trainee:
        assert self._trainee is not None, "start_stage comes first"
        return self._trainee

"""One learner rank: groups in, one update of the policy, new weights out."""

from __future__ import annotations

import gc
import hashlib
import socket
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
    has_non_finite,
    max_over_ranks,
    mean_over_ranks,
)
from videothinker.budget import Budget
from videothinker.config import Device, KLConfig, LearnerConfig
from videothinker.errors import DivergenceError
from videothinker.metrics import LEARNER_STEPS, SAMPLES_TRAINED, WEIGHT_VERSION, serve
from videothinker.model.policy import completion_mask
from videothinker.objective import policy_loss
from videothinker.types import LearnerReport, Prompt, ScoredGroup, Weights
from videothinker.weights import model_digest, save_model


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


class LearnerRank:
    """Holds one rank of the policy; all ranks make the same calls in the same order."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._rank = 0
        self._world = 1

    def meeting_point(self) -> tuple[str, int]:
        """This machine's address and a free port, for the other ranks to find rank 0."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = int(probe.getsockname()[1])
        return socket.gethostbyname(socket.gethostname()), port

    def connect(self, rank: int, world: int, host: str, port: int) -> None:
        """Join the other ranks."""
        self._rank, self._world = rank, world
        connect(rank, world, host, port, self._device)

    def serve_metrics(self) -> int:
        """Start this rank's Prometheus endpoint; returns its port."""
        return serve()

    def start_stage(self, assignment: Assignment) -> None:
        """Load the stage's initial model; whatever an earlier stage held is released first."""
        self._trainee: Trainee | None = None
        gc.collect()
        self._task = assignment
        self._trainee = Trainee(assignment.model, assignment.dtype, assignment.learner)

    def step(
        self, step: int, share: Sequence[tuple[ScoredGroup, float]], *prompts: Prompt
    ) -> LearnerReport:
        """One update on this rank's share of the groups.

        `share` pairs each group with its weight in the mean over all ranks' groups; a group of
        weight 0 only keeps the ranks in step. `prompts` are the groups' prompts in the same order,
        arguments of their own so that the object store resolves them in place.
        """
        started = time.monotonic()
        trainee = self._require_trainee()
        totals = StepTotals()
        for index, ((group, weight), prompt) in enumerate(zip(share, prompts, strict=True)):
            loss, stats = self._group_loss(trainee, group, prompt)
            if has_non_finite(loss.detach()):
                raise DivergenceError(
                    f"step {step}: the loss of {group.group.question.id} is not finite; nothing "
                    "was updated. Resume from the last state with a lower learning rate or KL bound"
                )
            trainee.backward(loss * weight * self._world, last=index == len(share) - 1)
            totals.add(stats, weight * self._world)
        report = totals.over_ranks()
        if report["logprob_gap"] > self._task.logprob_tolerance:
            raise DivergenceError(
                f"step {step}: sampler and learner disagree by {report['logprob_gap']:.3g} a token "
                f"(cluster.logprob_tolerance {self._task.logprob_tolerance:g}); nothing was updated"
            )
        report["learning_rate"] = self._learning_rate(step)
        report["grad_norm"] = trainee.step(report["learning_rate"])
        LEARNER_STEPS.inc()
        SAMPLES_TRAINED.inc(sum(len(g.group.completions) for g, weight in share if weight))
        return LearnerReport(step=step, stats=report, seconds=time.monotonic() - started)

    def publish(self, version: int) -> Weights | None:
        """The current policy as one block; only rank 0 returns it."""
        with self._require_trainee().whole() as model:
            if self._rank != 0:
                return None
            block = weights_block(model)
        WEIGHT_VERSION.set(version)
        return Weights(
            version=version,
            digest=hashlib.sha256(block).hexdigest(),
            payload=np.frombuffer(block, np.uint8),
        )

    def save_model(self, folder: Path, base: Path) -> str:
        """Export a Hugging Face checkpoint, processor and all; returns its digest."""
        with self._require_trainee().whole() as model:
            if self._rank != 0:
                return ""
            save_model(model, folder, like=base, budget=self._task.budget)
        return model_digest(folder)

    def save_state(self, folder: Path) -> None:
        """What resuming needs of this rank."""
        self._require_trainee().save_shards(folder)

    def load_state(self, folder: Path) -> None:
        """What `save_state` wrote."""
        self._require_trainee().load_shards(folder)

    def _group_loss(
        self, trainee: Trainee, scored: ScoredGroup, prompt: Prompt
    ) -> tuple[Tensor, dict[str, Tensor]]:
        completions = scored.group.completions
        token_ids = [completion.token_ids for completion in completions]
        logp, entropy = trainee(prompt, token_ids, self._task.temperature)
        mask = completion_mask([len(tokens) for tokens in token_ids], logp.device)
        kl, learner = self._task.kl, self._task.learner
        anchor = scored.anchor_logprobs
        loss, stats = policy_loss(
            logp,
            logp.detach(),  # exactly on-policy: the sampler held these very weights
            None if anchor is None else padded(anchor, logp),
            torch.from_numpy(scored.advantages).to(logp),
            mask,
            clip_low=learner.clip_low,
            clip_high=learner.clip_high,
            coefficient=kl.coefficient,
            direction=kl.direction,
            estimator=kl.estimator,
            bound=kl.bound,
        )
        sampled = padded([completion.logprobs for completion in completions], logp)
        gap = (logp.detach() - sampled).abs() * mask
        stats |= {
            "loss": loss.detach(),
            "entropy": (entropy * mask).sum() / mask.sum(),
            "logprob_gap": gap.sum() / mask.sum(),
            "logprob_gap_max": gap.max(),
        }
        return loss, stats

    def _learning_rate(self, step: int) -> float:
        learner = self._task.learner
        left = 1 - (step - 1) / self._task.steps if learner.schedule == "linear" else 1.0
        return learner.learning_rate * left

    def _require_trainee(self) -> Trainee:
        assert self._trainee is not None, "start_stage comes first"
        return self._trainee


class StepTotals:
    """Weighted sums of the groups' statistics; the largest where a name ends in `_max`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, stats: dict[str, Tensor], weight: float) -> None:
        """Take in one group."""
        for name, value in stats.items():
            before = self._sums.get(name, torch.zeros_like(value))
            largest = name.endswith("_max")
            self._sums[name] = torch.maximum(before, value) if largest else before + value * weight

    def over_ranks(self) -> dict[str, float]:
        """The same numbers for the whole step, equal on every rank."""
        names = sorted(self._sums)
        means = mean_over_ranks(torch.stack([self._sums[name] for name in names]))
        largest = max_over_ranks(torch.stack([self._sums[name] for name in names]))
        return {
            name: float(highest if name.endswith("_max") else mean)
            for name, mean, highest in zip(names, means, largest, strict=True)
        }


def padded(rows: Sequence[np.ndarray], like: Tensor) -> Tensor:
    """G arrays of [T] as one zero-padded [G, T] on the same device and of the same type."""
    tensors = [torch.from_numpy(np.array(row)) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True).to(like)


def weights_block(model: torch.nn.Module) -> bytes:
    """Every parameter once, under the names that the sampler's loader knows."""
    import safetensors.torch

    tensors = {
        name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()
    }
    return bytes(safetensors.torch.save(tensors))

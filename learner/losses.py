"""Of groups their losses, from a forward pass over a row of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from learner.deepspeed_engine import Trainee, mean_over_ranks
from learner.rows import padded, replayed
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import Device
from videothinker.method.objective import policy_loss
from videothinker.model.checkpoint import Budget
from videothinker.model.policy import Anchored, completion_mask
from videothinker.types import Prompt, RolloutGroup, ScoredGroup

Share = Sequence[tuple[ScoredGroup, float]]
"""A rank's groups of one update, each with its weight in the mean over all ranks' groups."""
RowGroups = Sequence[tuple[ScoredGroup, Prompt, float]]
"""Groups that share a forward pass, each with its prompt and its part in the update's loss."""


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
    """The checkpoint whose output head is needed, where its scores of every token are."""
    asked: Sequence[Path] = ()
    """What the learner itself is asked as: the anchor, and the model that it is compared with."""
    lends: bool = False
    """Between steps others have the memory that it then does not need."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """What a stage's objective says of groups; `anchor_head` is for an anchor's scores of
    every token."""

    trainee: Trainee
    task: Assignment
    anchor_head: Tensor | None
    world: int
    device: Device

    def weights(self, share: Share) -> list[float]:
        """Each group's part in an update's mean; of all tokens alike, its share of those."""
        if self.task.learner.aggregation != "token":
            return [weight for _, weight in share]
        counts = [sum(self._counted(scored.group)) if weight else 0 for scored, weight in share]
        here = torch.tensor(float(sum(counts)), device=self.device)
        everywhere = float(mean_over_ranks(here)) * self.world
        return [count / max(everywhere, 1.0) for count in counts]

    def before(self, row: RowGroups) -> list[Tensor]:
        """Of each group the log-probs under the policy as it is, from which a later update's ratio
        counts."""
        with torch.no_grad():
            logp, *_ = self.trainee(self._asked(row), self.task.temperature)
        return list(logp.split([len(scored.group.completions) for scored, _, _ in row]))

    def of(
        self,
        row: RowGroups,
        coefficient: float,
        version: int,
        before: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Of each group its loss and its statistics, from one forward pass; `version` is that of
        the weights which the step began with. In its first update the policy is what it was
        `before`."""
        anchored = self._anchored([scored for scored, _, _ in row], coefficient)
        scores = self.trainee(
            *(self._asked(row), self.task.temperature, anchored),
            self.task.learner.entropy_bonus != 0,
        )
        sizes = [len(scored.group.completions) for scored, _, _ in row]
        parts = zip(*(values.split(sizes) for values in scores), strict=True)
        olds: Sequence[Tensor | None] = before or [None] * len(row)
        found = [
            self._of_group(scored, part, coefficient, version, old)
            for (scored, _, _), part, old in zip(row, parts, olds, strict=True)
        ]
        return torch.stack([loss for loss, _ in found]), [stats for _, stats in found]

    def _of_group(
        self,
        scored: ScoredGroup,
        scores: Sequence[Tensor],
        coefficient: float,
        version: int,
        before: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From what the policy says of the group; [G, T] each, zero beyond a completion's end."""
        completions = scored.group.completions
        lengths = [len(completion.token_ids) for completion in completions]
        logp, entropy, *every_token = (values[:, : max(lengths)] for values in scores)
        old = logp.detach() if before is None else before[:, : max(lengths)]
        mask = completion_mask(lengths, logp.device)
        sees_loss = torch.tensor(self._counted(scored.group), device=logp.device) > 0
        sampled = padded([completion.logprobs for completion in completions], logp)
        kl, learner = self.task.kl, self.task.learner
        anchor, felt = scored.anchor_logprobs, scored.divergence_mask
        loss, stats = policy_loss(
            logp,
            old,
            None if anchor is None else padded(anchor, logp),
            torch.from_numpy(scored.advantages).to(logp),
            mask * sees_loss[:, None],
            ratio=learner.ratio,
            clip=learner.clip,
            clip_low=learner.clip_low,
            clip_high=learner.clip_high,
            clip_width=learner.clip_width,
            coefficient=0.0 if kl.direction == "none" else coefficient,
            direction=kl.direction,
            estimator=kl.estimator,
            bound=kl.bound,
            aggregation=learner.aggregation,
            max_tokens=self.task.budget.max_tokens if learner.aggregation == "budget" else None,
            entropy=entropy if learner.entropy_bonus else None,
            entropy_bonus=learner.entropy_bonus,
            **self._of_every_token(every_token),
            divergence_mask=None if felt is None else padded(felt, logp),
            sampler_logp=sampled,
            importance_cap=learner.importance_cap,
            replayed=replayed(scored.group).to(logp.device) if scored.group.replayed else None,
        )
        versions = padded([completion.weights_versions for completion in completions], mask)
        fresh = mask * (versions >= version)  # older weights differ, and may
        gap = (old - sampled).abs() * mask
        tokens = mask.sum()
        stats |= {
            "loss": loss.detach(),
            "entropy": (entropy.detach() * mask).sum() / tokens,
            "logprob_gap": (gap * fresh).sum() / tokens,
            "logprob_gap_max": (gap * fresh).max(),
            "logprob_drift": (gap * (mask - fresh)).sum() / tokens,
            "fresh_share": fresh.sum() / tokens,
        }
        return loss, stats

    def _asked(self, row: RowGroups) -> list[tuple[Prompt, list[np.ndarray]]]:
        return [
            (prompt, [completion.token_ids for completion in scored.group.completions])
            for scored, prompt, _ in row
        ]

    def _counted(self, group: RolloutGroup) -> list[int]:
        """How many tokens of each completion the loss sees."""
        left_out = "length" if self.task.learner.mask_truncated else ""
        return [
            0 if completion.finish_reason == left_out else len(completion.token_ids)
            for completion in group.completions
        ]

    def _of_every_token(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """By what it is to the objective, where the anchor's scores of every token were needed."""
        name = "product_logp" if self.task.kl.direction == "product" else "divergence"
        return dict(zip([name], values, strict=False))

    def _anchored(self, groups: Sequence[ScoredGroup], coefficient: float) -> Anchored | None:
        """What the anchor's scores of every token are from; None where nobody needs them."""
        head = self.anchor_head
        if head is None:
            return None
        hidden = [states for scored in groups for states in scored.anchor_hidden or ()]
        assert hidden, "the anchor was not asked for its hidden states"
        power = coefficient if self.task.kl.direction == "product" else None
        states = torch.from_numpy(np.concatenate(hidden)).to(head)
        return Anchored(head=head, hidden=states, power=power)

"""One forward pass for whole groups, shared by the learner and the frozen scorer.

A group in the row is [prompt][completion 1]...[completion G]. Every completion sees its prompt and
itself, its positions start where the prompt's end, so each token gets exactly what it would get in
a row of its own, while the vision tower and the prompt run once. Only completion positions meet the
output head, a few at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from videothinker import cpu_torch
from videothinker.config.kl import AnchorView
from videothinker.errors import InputError
from videothinker.method.divergence import exact_divergence, product
from videothinker.model.adapters import POLICY, speaking, take_in
from videothinker.model.attention import after_prompts
from videothinker.model.checkpoint import SAFE, base_of, require_safe
from videothinker.model.families.family import Family
from videothinker.model.families.known import family_in, kind_of
from videothinker.model.flops import scoring_flops
from videothinker.model.layers import full_scores
from videothinker.model.shape import LOGITS_AT_ONCE, ModelShape
from videothinker.process import metrics
from videothinker.types import AnchorScores, Prompt, RolloutGroup

Asked = tuple[Prompt, Sequence[np.ndarray]]
"""A prompt and the token ids of its completions."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(path: Path, dtype: str) -> Any:
    """A model from a folder, which runs no code; its attention can be replaced (`Policy`). Of an
    adapter's folder its base, with the adapter."""
    base = base_of(path)
    require_safe(base)
    cpu_torch.install()
    kind = kind_of(base).model_class()
    model = kind.from_pretrained(
        base, dtype=DTYPES[dtype], attn_implementation="sdpa", use_safetensors=True, **SAFE
    )
    if base != path:
        take_in(model, POLICY, path)
    return model


def load_head(path: Path, dtype: str) -> Tensor:
    """The output head [V, H] of a checkpoint: its own tensor, or the embeddings that it shares."""
    from safetensors import safe_open

    path = base_of(path)
    for name in ("lm_head.weight", "embed_tokens.weight"):
        for file in sorted(path.glob("*.safetensors")):
            with safe_open(file, "pt") as tensors:
                for key in tensors.keys():  # noqa: SIM118 - a reader, not a dict
                    if key.endswith(name):
                        head: Tensor = tensors.get_tensor(key)
                        return head.to(DTYPES[dtype])
    raise InputError(
        f"{path}: no lm_head.weight and no embed_tokens.weight in its *.safetensors; give a Hugging"
        " Face model folder"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchored:
    """The frozen anchor's view of a group's completions, short of its scores of every token."""

    head: Tensor
    """[V, H], the anchor's own."""
    hidden: Tensor
    """[sum of lengths, H], of the same type, at the positions that predict a token."""
    power: float | None = None
    """Of the anchor's probabilities in a product with the policy's; None for their divergence."""


class Policy(nn.Module):
    """Log-probs and entropies of groups of completions under one model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.family = family_in(model.config)
        self.family.rewrite(model)

    def forward(
        self,
        groups: Sequence[Asked],
        temperature: float,
        anchor: Anchored | None = None,
        entropy_gradient: bool = False,
    ) -> tuple[Tensor, ...]:
        """Token log-probs and entropies [N, T], zero beyond each completion's end.

        With an anchor also, at each token, KL(policy || anchor) or the log-prob under the product
        of both. All are of the distributions that are sampled from: at the sampling temperature,
        without the forbidden tokens.
        """
        row = self.row(groups)
        return self.scores(row, self.hidden(row), temperature, anchor, entropy_gradient)

    def row(self, groups: Sequence[Asked]) -> PackedRow:
        """The groups where the model is."""
        return PackedRow(groups, self.family, self.model, next(self.parameters()).device)

    def hidden(self, row: PackedRow) -> Tensor:
        """Final hidden states [sum of lengths, H] at the positions that predict a token."""
        return self.family.states(self.model, row)[row.predicting]

    def scores(
        self,
        row: PackedRow,
        hidden: Tensor,
        temperature: float,
        anchor: Anchored | None = None,
        entropy_gradient: bool = False,
    ) -> tuple[Tensor, ...]:
        """What `forward` returns, from the states that `hidden` returned."""
        head, forbidden = self.model.lm_head, self.family.forbidden
        scores = token_scores(
            *(head, hidden, row.predicted, temperature, forbidden, anchor), entropy_gradient
        )
        return tuple(row.unpack(values) for values in scores)


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """A model that is only asked: a policy as one of its adapters, or without any."""

    policy: Policy
    shape: ModelShape
    adapter: str | None = None


def opinion(
    voices: Sequence[Voice],
    group: RolloutGroup,
    prompt: Prompt,
    temperature: float,
    *,
    with_hidden: bool,
    view: AnchorView = "video",
) -> AnchorScores:
    """How likely the first finds the tokens of a group under a view of what is shown, with its
    final hidden states if asked for; and the second, if there is one, which sees all of it."""
    started = time.monotonic()
    token_ids = [completion.token_ids for completion in group.completions]
    lengths = [len(tokens) for tokens in token_ids]
    said: list[tuple[np.ndarray, ...]] = []
    states: tuple[np.ndarray, ...] | None = None
    seen = voices[0].policy.family.seen_as(prompt, view)
    for voice in voices:
        policy, shown = voice.policy, prompt if said else seen
        with torch.inference_mode(), speaking(policy.model, voice.adapter):
            row = policy.row([(shown, token_ids)])
            hidden = policy.hidden(row)
            logp, _ = policy.scores(row, hidden, temperature)
        rows = zip(logp.cpu().numpy(), lengths, strict=True)
        if with_hidden and not said:
            states = tuple(part.numpy() for part in hidden.float().cpu().split(lengths))
        said.append(tuple(values[:length].copy() for values, length in rows))
        metrics.FLOPS.inc(scoring_flops(voice.shape, group))
    metrics.ANCHOR_GROUPS.inc()
    metrics.ANCHOR_TOKENS.inc(sum(lengths))
    return AnchorScores(
        logprobs=said[0],
        hidden=states,
        initial_logprobs=said[1] if len(said) > 1 else None,
        saw_all=seen is prompt,
        seconds=time.monotonic() - started,
    )


def token_scores(
    head: nn.Linear,
    hidden: Tensor,
    predicted: Tensor,
    temperature: float,
    forbidden: list[int],
    anchor: Anchored | None = None,
    entropy_gradient: bool = False,
) -> tuple[Tensor, ...]:
    """Hidden states [n, H] and the tokens after them [n] -> log-probs and entropies [n]; these have
    a gradient only where it is asked for.

    With an anchor also KL(policy || anchor) over the vocabulary [n], or the token's log-prob under
    the product of both; the anchor gets no gradient.
    A chunk's scores over the vocabulary are computed again in the backward pass: what is kept does
    not grow with the vocabulary, and what exists at one time is a few times LOGITS_AT_ONCE.
    """
    out = torch.tensor(forbidden, device=hidden.device)

    def sampled_from(logits: Tensor) -> Tensor:
        return logits.div_(temperature).index_fill_(1, out, -torch.inf)

    def score(hidden: Tensor, predicted: Tensor, *anchor_hidden: Tensor) -> tuple[Tensor, ...]:
        logits = sampled_from(head(hidden))
        everything = logits.log_softmax(dim=1)
        chosen = everything.gather(1, predicted[:, None]).squeeze(1)
        if entropy_gradient:
            entropy = -(everything.exp() * everything.index_fill(1, out, 0.0)).sum(1)
        else:
            everything = everything.detach()
            entropy = -everything.exp().mul_(everything).index_fill_(1, out, 0.0).sum(1)
        if anchor is None:
            return chosen, entropy
        (states,) = anchor_hidden
        anchor_logits = sampled_from(full_scores(states, anchor.head))
        if anchor.power is None:
            return chosen, entropy, exact_divergence(logits, anchor_logits, rows)
        together = product(logits, anchor_logits, anchor.power)
        return chosen, entropy, together.gather(1, predicted[:, None]).squeeze(1)

    at_once = LOGITS_AT_ONCE["cpu" if hidden.is_cpu else "cuda"]
    rows = max(1, at_once // head.out_features)
    known = (hidden, predicted) if anchor is None else (hidden, predicted, anchor.hidden)
    chunks = [
        checkpoint(score, *chunk, use_reentrant=False)
        for chunk in zip(*(values.split(rows) for values in known), strict=True)
    ]
    return tuple(torch.cat(parts) for parts in zip(*chunks, strict=True))


class PackedRow:
    """Groups one after the other, each a prompt and its completions, as one row of tensors.

    What has to be counted is counted before anything is on the device, which then never waits.
    """

    def __init__(
        self, groups: Sequence[Asked], family: Family, model: Any, device: torch.device
    ) -> None:
        self._device = device
        self._lengths = [len(tokens) for _, completions in groups for tokens in completions]
        token_ids, positions, predicting, lengths, start = [], [], [], [], 0
        for prompt, completions in groups:
            prefix, ends = len(prompt.token_ids), [len(tokens) for tokens in completions]
            steps = np.concatenate([np.arange(length) for length in ends])
            token_ids += [prompt.token_ids, *completions]
            places = family.positions(prompt.token_ids, prompt.shown)
            positions += [places, np.tile(steps + prompt.next_position, (3, 1))]
            # the prompt's last token predicts a completion's first, each of those predicts its next
            before = np.arange(len(steps)) + prefix - 1
            predicting.append(start + np.where(steps, before, prefix - 1))
            lengths.append((prefix, ends))
            start += prefix + len(steps)
        tokens = np.concatenate(token_ids, dtype=np.int64)
        self.token_ids = self._tensor(tokens)
        self.positions = self._tensor(np.concatenate(positions, axis=1))[:, None]
        self.sequences = after_prompts(lengths, device)
        self.pixel_values, shown = family.pixels([prompt for prompt, _ in groups], device)
        self.patches = family.patches(model, shown, device)
        self.visual = self._tensor(np.flatnonzero(np.isin(tokens, [*family.marks.values()])))
        self.predicting = self._tensor(np.concatenate(predicting))
        self.predicted = self._tensor(np.concatenate([c for _, group in groups for c in group]))

    def unpack(self, values: Tensor) -> Tensor:
        """[sum of lengths] -> [N, T], zero padded."""
        return nn.utils.rnn.pad_sequence(list(values.split(self._lengths)), batch_first=True)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def completion_mask(lengths: Sequence[int], device: torch.device) -> Tensor:
    """[G, T], 1 on a completion's own tokens."""
    ones = [torch.ones(length, device=device) for length in lengths]
    return nn.utils.rnn.pad_sequence(ones, batch_first=True)

"""Causal Debiasing Policy Optimization: the loss, as the paper's three lines.

    loss = -mean( w * min(ratio * A, clip(ratio, 1 - low, 1 + high) * A)
                  + sign * coefficient * w * divergence + bonus * entropy )

with sign +1 to repel the policy from the anchor, -1 to attract it and 0 otherwise; w is 1 unless a
sampler that was not quite the policy is corrected for. Shapes: N completions, T tokens, P prompts,
G completions of a group.

Yu et al., "DAPO" (2025), for the two clips; `videothinker.method.divergence` for the divergences.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from videothinker.config.kl import Direction
from videothinker.config.learner import Aggregation, Clipping, Ratio
from videothinker.method.advantages import group_advantages
from videothinker.method.divergence import k1, k2, k3, policy
from videothinker.method.surrogate import surrogate

__all__ = ["group_advantages", "policy_loss"]

Estimator = Literal["k1", "k2", "k3", "policy", "exact"]

SIGN = {"repel": 1.0, "attract": -1.0}
"""With another direction the divergence is only measured; they are felt elsewhere (`debias.py`)."""
SAMPLED = {"k1": k1, "k2": k2, "k3": k3, "policy": policy}


def masked_mean(
    values: Tensor,
    mask: Tensor,
    aggregation: Aggregation = "sequence",
    max_tokens: int | None = None,
) -> Tensor:
    """[N, T] -> []: over each completion's tokens, then completions; or over all tokens alike; or
    over as many as each completion might have had, then completions."""
    if aggregation == "token":
        return (values * mask).sum() / mask.sum().clamp(min=1)
    if aggregation == "budget":
        assert max_tokens is not None
        return ((values * mask).sum(dim=1) / max_tokens).mean()
    return ((values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    anchor_logp: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    *,
    ratio: Ratio = "token",
    clip: Clipping = "ppo",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    clip_width: float = 12.5,
    coefficient: float = 0.0,
    direction: Direction = "none",
    estimator: Estimator = "k3",
    bound: float = 11.0,
    aggregation: Aggregation = "sequence",
    max_tokens: int | None = None,
    entropy: Tensor | None = None,
    entropy_bonus: float = 0.0,
    divergence: Tensor | None = None,
    divergence_mask: Tensor | None = None,
    product_logp: Tensor | None = None,
    sampler_logp: Tensor | None = None,
    importance_cap: float | None = None,
    replayed: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its parts; log-probs and masks [N, T], advantages [N].

    ratio, clip: as in `surrogate.py`. max_tokens: what the aggregation budget divides by. entropy:
    of the distribution that each token is from, with its gradient, for a bonus.
    divergence: `exact_divergence` at every token, for the estimator exact. divergence_mask: the
    tokens that feel the divergence, each as strongly as if all did. product_logp: under policy and
    anchor together, which the direction product pushes in the policy's place. sampler_logp: what
    the sampler says of its tokens; with a cap, w = min(exp(old_logp - sampler_logp), cap), without
    one the mismatch is only measured. replayed [N]: completions of another model, which count as
    `replay` says and neither feel the divergence nor say anything of the sampler. Nothing outside
    the mask is used.
    """
    check_choice("direction", direction, get_args(Direction))
    check_choice("estimator", estimator, (*SAMPLED, "exact"))
    check_choice("aggregation", aggregation, get_args(Aggregation))
    check_choice("ratio", ratio, get_args(Ratio))
    check_choice("clip", clip, get_args(Clipping))
    check_numbers(clip_low, clip_high, coefficient, bound, importance_cap)
    check_pairs(ratio, clip, aggregation, max_tokens, entropy, entropy_bonus)
    check_tensors(
        direction,
        estimator,
        importance_cap,
        logp,
        advantages,
        old_logp=old_logp,
        anchor_logp=anchor_logp,
        mask=mask,
        divergence=divergence,
        divergence_mask=divergence_mask,
        product_logp=product_logp,
        sampler_logp=sampler_logp,
        replayed=replayed,
    )

    mask = mask.bool()
    logp, old_logp = _within(mask, logp), _within(mask, old_logp)
    drawn = mask  # from the policy itself
    if replayed is not None and sampler_logp is not None:
        advantages = replay(advantages, old_logp, _within(mask, sampler_logp), replayed)
        drawn = mask & ~replayed[:, None]
    weight, stats = importance(old_logp, sampler_logp, drawn, importance_cap)

    pushed, before = logp, old_logp
    if product_logp is not None:
        pushed = _within(mask, product_logp)
        before = pushed.detach()
    gain, held = surrogate(
        *(pushed, before, advantages, mask),
        ratio=ratio,
        clip=clip,
        low=clip_low,
        high=clip_high,
        width=clip_width,
    )
    gain = weight * gain
    stats["clip_share"] = _share(held, mask)

    def mean(values: Tensor) -> Tensor:
        return masked_mean(values, mask, aggregation, max_tokens)

    if logp.requires_grad:
        stats["policy_gradient"] = _gradient_norm(mean(gain), pushed)
    if anchor_logp is not None:
        felt = drawn if divergence_mask is None else drawn & divergence_mask.bool()
        kl, reach, term, force = _divergence(
            *(weight, logp, anchor_logp, divergence, drawn, felt), estimator=estimator, bound=bound
        )
        push = SIGN.get(direction, 0.0) * coefficient
        gain = gain + push * term
        stats["kl"] = masked_mean(kl, drawn, "token")
        stats["bound_share"] = _share(reach >= bound, felt)
        if logp.requires_grad:
            stats["divergence_gradient"] = _gradient_norm(push * mean(force), logp)
    if entropy is not None:
        gain = gain + entropy_bonus * _within(drawn, entropy)
    loss = -mean(gain)
    return loss, {name: value.detach() for name, value in stats.items()}


def _divergence(
    weight: Tensor,
    logp: Tensor,
    anchor_logp: Tensor,
    exact: Tensor | None,
    drawn: Tensor,
    felt: Tensor,
    *,
    estimator: Estimator,
    bound: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each token its divergence, how far it reaches to the bound, the term that is added to the
    gain, and one with the same force."""
    own, anchor = _within(felt, logp), _within(felt, anchor_logp)
    if exact is None:
        term = weight * SAMPLED[estimator](own, anchor, bound)
        return weight * _within(drawn, logp - anchor_logp), (own - anchor).abs(), term, term
    # no function of logp: its force is that of k2, whose expected gradient is the same
    reach = _within(drawn, exact)
    term = _within(felt, exact).clamp(max=bound)
    force = k2(own, torch.where(reach < bound, anchor, own.detach()), math.inf)
    return reach, reach, term, force


def replay(advantages: Tensor, logp: Tensor, sampler_logp: Tensor, replayed: Tensor) -> Tensor:
    """Advantages [N] of a group whose replayed completions [N] another model sampled.

    A good one counts in full however unlikely the policy finds it by now: that is what it is kept
    for. A bad one counts as far as the policy would still say it, min(1, policy / sampler) of the
    whole completion, so that nobody is pushed away from what he no longer does. Log-probs [N, T]
    are 0 outside the mask.
    """
    likelier = (logp - sampler_logp).sum(dim=1).detach().exp()
    faded = advantages * likelier.clamp(max=1.0)
    return torch.where(replayed & (advantages < 0), faded, advantages)


def importance(
    old_logp: Tensor, sampler_logp: Tensor | None, mask: Tensor, cap: float | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """w [N, T] and its statistics; without a cap it is measured, and 1 in the loss."""
    if sampler_logp is None:
        return torch.ones_like(old_logp), {}
    mismatch = _within(mask, old_logp - sampler_logp).detach().exp()
    weight = mismatch.clamp(max=math.inf if cap is None else cap)
    stats = {
        "importance_mean": masked_mean(weight, mask, "token"),
        "importance_truncated": _share(mismatch > weight, mask),
    }
    return torch.ones_like(weight) if cap is None else weight, stats


def repulsion_ratio(stats: Mapping[str, float]) -> float:
    """The divergence's gradient norm over the policy's, of a step's mean stats.

    No stat itself: infinite in a group of equal rewards, it would spoil the step's mean.
    """
    divergence, gain = stats.get("divergence_gradient", 0.0), stats["policy_gradient"]
    if gain == 0:
        return math.inf if divergence else 0.0
    return divergence / gain


def _within(mask: Tensor, values: Tensor) -> Tensor:
    return torch.where(mask, values, 0)  # whatever is outside, NaN included


def _share(condition: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(condition.float(), mask, "token")


def _gradient_norm(term: Tensor, logp: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(term, logp, retain_graph=True)
    norm: Tensor = gradient.norm()
    return norm


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a name that is not among those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} = {value!r}: use one of {', '.join(allowed)}")


def check_numbers(
    clip_low: float,
    clip_high: float,
    coefficient: float,
    bound: float,
    importance_cap: float | None,
) -> None:
    """Refuse a number that is out of range, or none at all."""
    cap = 1.0 if importance_cap is None else importance_cap
    for name, value, fits, allowed in (
        ("clip_low", clip_low, 0 <= clip_low <= 1, "0 or more, 1 at most"),
        ("clip_high", clip_high, clip_high >= 0, "0 or more"),
        ("coefficient", coefficient, coefficient >= 0, "0 or more; the direction says its sign"),
        ("bound", bound, bound > 0, "more than 0"),
        ("importance_cap", cap, cap >= 1, "1 or more, or None for no correction"),
    ):
        if not fits:
            raise ValueError(f"{name} = {value}: use {allowed}")


def check_pairs(
    ratio: Ratio,
    clip: Clipping,
    aggregation: Aggregation,
    max_tokens: int | None,
    entropy: Tensor | None,
    entropy_bonus: float,
) -> None:
    """Refuse what cannot go together."""
    if ratio == "sequence" and aggregation != "sequence":
        raise ValueError(f"ratio = 'sequence': aggregation = {aggregation!r} parts completions")
    if ratio == "sequence" and clip == "smooth":
        raise ValueError("ratio = 'sequence': clip = 'smooth' looks at each token's probability")
    if (max_tokens is None) == (aggregation == "budget"):
        raise ValueError(f"max_tokens = {max_tokens}: goes with aggregation = 'budget' alone")
    if (entropy is None) == (entropy_bonus != 0):
        raise ValueError(f"entropy_bonus = {entropy_bonus} and entropy do not go together")


def check_tensors(
    direction: str,
    estimator: str,
    importance_cap: float | None,
    logp: Tensor,
    advantages: Tensor,
    **tokenwise: Tensor | None,
) -> None:
    """Refuse a tensor that is missing, that nothing would use, or that would be broadcast."""
    given = {name: tensor for name, tensor in tokenwise.items() if tensor is not None}
    anchored = direction not in ("none", "unlikely")
    if ("product_logp" in given) != (direction == "product"):
        raise ValueError(f"direction = {direction!r} and product_logp do not go together")
    if ("anchor_logp" in given) != anchored:
        raise ValueError(f"direction = {direction!r} and anchor_logp do not go together")
    if "divergence_mask" in given and not anchored:
        raise ValueError(f"direction = {direction!r}: divergence_mask would have no effect")
    exact = anchored and estimator == "exact"
    if ("divergence" in given) != exact:
        found = "missing" if exact else "given"
        raise ValueError(
            f"divergence is {found} with direction = {direction!r}, estimator = {estimator!r}: "
            "it goes with the estimator exact and a direction"
        )
    if importance_cap is not None and "sampler_logp" not in given:
        raise ValueError(f"importance_cap = {importance_cap}: has no effect without sampler_logp")
    if "replayed" in given and "sampler_logp" not in given:
        raise ValueError("replayed: needs sampler_logp, to tell what their sampler thought of them")
    for name, tensor in {**given, "advantages": advantages}.items():
        expected = logp.shape[:1] if name in ("advantages", "replayed") else logp.shape
        if tensor.shape != expected:
            raise ValueError(f"{name} {list(tensor.shape)}: use {list(expected)}, as logp has")

"""What `policy_loss` refuses: a value that means nothing, an input that would change nothing."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor


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
        ("clip_low", clip_low, 0 <= clip_low < 1, "0 or more, below 1"),
        ("clip_high", clip_high, clip_high >= 0, "0 or more"),
        ("coefficient", coefficient, coefficient >= 0, "0 or more; the direction says its sign"),
        ("bound", bound, bound > 0, "more than 0"),
        ("importance_cap", cap, cap >= 1, "1 or more, or None for no correction"),
    ):
        if not fits:
            raise ValueError(f"{name} = {value}: use {allowed}")


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
    anchored = direction != "none"
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

"""Estimators against hand-computed numbers, and their expectations over every completion there is.

The model of the expectations has three tokens, the last of which ends a completion, and completions
of at most three tokens: 7 prefixes, 15 completions, each known with its probability.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from videothinker.method.divergence import exact_divergence, k1, k2, k3, policy

DOCUMENT = Path(__file__).parents[4] / "docs" / "objective.md"
FAR = 50.0  # a bound that nothing here reaches
Estimate = Callable[[Tensor, Tensor, float], Tensor]
SAMPLED = [k1, k2, k3, policy]

END, LONGEST = 2, 3
PREFIXES = [p for length in range(LONGEST) for p in itertools.product((0, 1), repeat=length)]
COMPLETIONS = [
    tokens
    for length in range(1, LONGEST + 1)
    for tokens in itertools.product((0, 1, END), repeat=length)
    if END not in tokens[:-1] and (tokens[-1] == END or length == LONGEST)
]
MASK = torch.tensor([[t < len(tokens) for t in range(LONGEST)] for tokens in COMPLETIONS])


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def model(seed: int) -> Tensor:
    """Logits after every prefix, [7, 3]."""
    generator = torch.Generator().manual_seed(seed)
    return 1.5 * torch.randn(len(PREFIXES), 3, generator=generator, dtype=torch.float64)


def token_logp(logits: Tensor) -> Tensor:
    """Log-probs of every completion's tokens, [15, 3], zero beyond the end."""
    rows = [
        [PREFIXES.index(tokens[:t]) if t < len(tokens) else 0 for t in range(LONGEST)]
        for tokens in COMPLETIONS
    ]
    chosen = [
        [tokens[t] if t < len(tokens) else 0 for t in range(LONGEST)] for tokens in COMPLETIONS
    ]
    return torch.where(MASK, logits.log_softmax(1)[torch.tensor(rows), torch.tensor(chosen)], 0)


def completion_divergence(logits: Tensor, anchor: Tensor, bound: float = FAR) -> Tensor:
    """E_policy[sum of log-ratios], over whole completions."""
    logp = token_logp(logits)
    log_ratio = (logp - token_logp(anchor)).clamp(-bound, bound).sum(1)
    return (logp.sum(1).exp() * log_ratio).sum()


def token_divergence(logits: Tensor, anchor: Tensor, reverse: bool = False) -> Tensor:
    """KL(policy || anchor) after each prefix, as often as the policy comes there; or reversed."""
    ours, theirs = logits.log_softmax(1), anchor.log_softmax(1)
    first, second = (theirs, ours) if reverse else (ours, theirs)
    return (visits(logits) * (first.exp() * (first - second)).sum(1)).sum()


def visits(logits: Tensor) -> Tensor:
    """How often the policy comes to each prefix; a constant."""
    logp = logits.detach().log_softmax(1)
    ways = [
        sum(logp[PREFIXES.index(prefix[:t]), token] for t, token in enumerate(prefix))
        for prefix in PREFIXES
    ]
    return torch.as_tensor(ways, dtype=torch.float64).exp()


def expected(estimate: Estimate, logits: Tensor, anchor: Tensor, bound: float = FAR) -> Tensor:
    """What the sum over a completion is on average, when completions are the policy's."""
    logp = token_logp(logits)
    values = (estimate(logp, token_logp(anchor), bound) * MASK).sum(1)
    return (logp.sum(1).exp().detach() * values).sum()


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    leaf = at.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def by_differences(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-6) -> Tensor:
    slopes = torch.empty_like(at)
    for place in itertools.product(*map(range, at.shape)):
        shift = torch.zeros_like(at)
        shift[place] = step
        slopes[place] = (function(at + shift) - function(at - shift)) / (2 * step)
    return slopes


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("estimate", "values", "slopes"),
    [
        (k1, [2, -1, 0, 3, -3], [1, 1, 1, 0, 0]),
        (k2, [2, 0.5, 0, 4.5, 4.5], [2, -1, 0, 0, 0]),
        (
            k3,
            [math.exp(-2) + 1, math.e - 2, 0, math.exp(-3) + 2, math.exp(3) - 4],
            [1 - math.exp(-2), 1 - math.e, 0, 0, 0],
        ),
        (policy, [2, -1, 0, 3, -3], [2, -1, 0, 2, -4]),
    ],
    ids=["k1", "k2", "k3", "policy"],
)
def test_values_and_slopes_are_those_worked_out_by_hand(
    estimate: Estimate, values: list[float], slopes: list[float]
) -> None:
    anchor = column(-4, -1, -2, -9, -1)
    logp = column(-2, -2, -2, -4, -6).requires_grad_()  # log-ratios 2, -1, 0, 5, -5; the bound is 3
    found = estimate(logp, anchor, 3.0)
    close(found.detach(), column(*values))
    close(torch.autograd.grad(found.sum(), logp)[0], column(*slopes))


@pytest.mark.parametrize("estimate", [k1, k2, k3])
def test_slopes_are_those_of_finite_differences(estimate: Estimate) -> None:
    logp, anchor = token_logp(model(1)), token_logp(model(2))
    bound = 0.9  # some log-ratios are beyond it
    found = gradient(lambda x: estimate(x, anchor, bound).sum(), logp)
    close(found, by_differences(lambda x: estimate(x, anchor, bound).sum(), logp), 1e-7)
    assert 0 < (found == 0).sum() < found.numel()


def test_a_token_of_the_return_answers_for_itself_and_all_that_follow() -> None:
    logp = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    anchor = torch.tensor([[-2.0, -3.0, -0.5]])  # log-ratios 1, 2, -0.5
    values = policy(logp, anchor, FAR)
    assert values.tolist() == [[1, 2, -0.5]]
    assert torch.autograd.grad(values.sum(), logp)[0].tolist() == [[2.5, 1.5, -0.5]]


@pytest.mark.parametrize("estimate", [k1, k3, policy], ids=["k1", "k3", "policy"])
def test_the_value_is_an_unbiased_estimate_of_the_divergence(estimate: Estimate) -> None:
    logits, anchor = model(3), model(4)
    close(expected(estimate, logits, anchor), completion_divergence(logits, anchor))


def test_k1_as_a_loss_pushes_nowhere_on_average() -> None:
    anchor = model(4)
    found = gradient(lambda logits: expected(k1, logits, anchor), model(3))
    close(found, torch.zeros_like(found))


def test_k2_follows_the_gradient_of_policy_to_anchor_token_by_token() -> None:
    anchor = model(4)
    found = gradient(lambda logits: expected(k2, logits, anchor), model(3))
    close(found, gradient(lambda logits: token_divergence(logits, anchor), model(3)))


def test_k3_follows_the_gradient_of_anchor_to_policy_token_by_token() -> None:
    anchor = model(4)
    found = gradient(lambda logits: expected(k3, logits, anchor), model(3))
    close(found, gradient(lambda logits: token_divergence(logits, anchor, reverse=True), model(3)))


@pytest.mark.parametrize("bound", [FAR, 1.0], ids=["unbounded", "bounded"])
def test_policy_follows_the_gradient_of_policy_to_anchor_over_whole_completions(
    bound: float,
) -> None:
    logits, anchor = model(3), model(4)
    found = gradient(lambda x: expected(policy, x, anchor, bound), logits)
    close(found, gradient(lambda x: completion_divergence(x, anchor, bound), logits))
    differences = by_differences(lambda x: completion_divergence(x, anchor, bound), logits)
    close(found, differences, 1e-8)


def test_exact_is_the_divergence_token_by_token() -> None:
    logits, anchor = model(3), model(4)

    def visited(x: Tensor) -> Tensor:
        return (visits(x) * exact_divergence(x, anchor)).sum()

    close(visited(logits), token_divergence(logits, anchor))
    close(gradient(visited, logits), gradient(lambda x: token_divergence(x, anchor), logits))


def test_the_divergence_over_completions_is_another_direction_than_token_by_token() -> None:
    anchor = model(4)
    whole = gradient(lambda x: completion_divergence(x, anchor), model(3))
    single = gradient(lambda x: token_divergence(x, anchor), model(3))
    assert (whole - single).norm() > 0.1 * whole.norm()


def logit_rows(count: int, vocabulary: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = 3 * torch.randn(2, count, vocabulary, generator=generator, dtype=torch.float64)
    return both[0], both[1]


def naive(logits: Tensor, anchor: Tensor) -> Tensor:
    ours, theirs = logits.log_softmax(-1), anchor.log_softmax(-1)
    return (ours.exp() * (ours - theirs)).sum(-1)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_exact_equals_the_naive_formula_whatever_the_chunk(chunk: int) -> None:
    logits, anchor = logit_rows(7, 11)
    weights = torch.linspace(-1, 2, 7, dtype=torch.float64)
    close(exact_divergence(logits, anchor, chunk), naive(logits, anchor))
    found = gradient(lambda x: (weights * exact_divergence(x, anchor, chunk)).sum(), logits)
    close(found, gradient(lambda x: (weights * naive(x, anchor)).sum(), logits))


def test_exact_has_the_slopes_of_finite_differences() -> None:
    logits, anchor = logit_rows(4, 5)
    assert torch.autograd.gradcheck(
        lambda x: exact_divergence(x, anchor, 3), (logits.requires_grad_(),)
    )


def test_exact_keeps_the_shape_of_a_batch_of_completions() -> None:
    logits, anchor = logit_rows(6, 5)
    found = exact_divergence(logits.view(2, 3, 5), anchor.view(2, 3, 5), 4)
    close(found, naive(logits, anchor).view(2, 3))
    assert exact_divergence(logits[:0], anchor[:0]).shape == (0,)


def test_exact_of_bfloat16_logits_is_computed_in_float32() -> None:
    logits, anchor = (rows.bfloat16() for rows in logit_rows(7, 11))
    found = exact_divergence(logits, anchor)
    assert found.dtype == torch.float32
    close(found, naive(logits.float(), anchor.float()), 1e-5)


def test_tokens_that_both_forbid_count_for_nothing() -> None:
    logits, anchor = logit_rows(3, 6)
    forbidden = torch.full((3, 2), -torch.inf, dtype=torch.float64)
    more, more_anchor = torch.cat([logits, forbidden], 1), torch.cat([anchor, forbidden], 1)
    close(exact_divergence(more, more_anchor), naive(logits, anchor))
    found = gradient(lambda x: exact_divergence(x, more_anchor).sum(), more)
    close(found[:, :6], gradient(lambda x: naive(x, anchor).sum(), logits))
    assert not found[:, 6:].any()


def test_what_only_the_anchor_forbids_is_infinitely_far_and_has_no_gradient_when_bounded() -> None:
    logits, anchor = logit_rows(2, 4)
    anchor[0, 0] = -torch.inf
    assert exact_divergence(logits, anchor)[0] == math.inf
    found = gradient(lambda x: exact_divergence(x, anchor).clamp(max=30.0).sum(), logits)
    assert not found[0].any()
    close(found[1], gradient(lambda x: naive(x, anchor)[1], logits)[1])


class Allocations(TorchDispatchMode):
    """Elements of every tensor that operations make, views left out."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self._known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.elements: list[int] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._known:
                    self.elements.append(storage.nbytes() // tensor.element_size())
        return made


def test_exact_makes_nothing_larger_than_a_chunk_but_the_gradient_itself() -> None:
    count, vocabulary, chunk = 64, 500, 4
    logits, anchor = (rows.float() for rows in logit_rows(count, vocabulary))
    logits.requires_grad_()
    with Allocations(logits, anchor) as forward:
        divergence = exact_divergence(logits, anchor, chunk).sum()
    with Allocations(logits, anchor) as backward:
        divergence.backward()
    assert max(forward.elements) == chunk * vocabulary
    above = {elements for elements in backward.elements if elements > chunk * vocabulary}
    assert above == {count * vocabulary}


def test_exact_keeps_only_the_logits_for_the_backward_pass() -> None:
    logits, anchor = (rows.float() for rows in logit_rows(64, 500))
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        exact_divergence(logits.requires_grad_(), anchor, 4)
    assert {tensor.data_ptr() for tensor in kept} == {logits.data_ptr(), anchor.data_ptr()}


@pytest.mark.parametrize(
    ("anchor", "chunk", "message"),
    [(torch.zeros(2, 4), 1, r"anchor_logits: \[2, 4\]"), (torch.zeros(2, 3), 0, "chunk = 0")],
)
def test_exact_refuses_logits_that_do_not_match_and_empty_chunks(
    anchor: Tensor, chunk: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        exact_divergence(torch.zeros(2, 3), anchor, chunk)


def test_the_numbers_of_the_document_are_those_its_program_prints() -> None:
    text = DOCUMENT.read_text()
    program, printed = re.findall(r"```(?:python|text)\n(.*?)```", text, re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, str(DOCUMENT), "exec"), {})
    assert out.getvalue() == printed

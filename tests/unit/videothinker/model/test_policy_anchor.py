"""The exact divergence, or a product, beside the log-probs, from the anchor's hidden states and
output head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from videothinker.errors import InputError
from videothinker.method.divergence import exact_divergence
from videothinker.model.policy import Anchored, load_head, load_model, token_scores
from videothinker.model.shape import LOGITS_AT_ONCE

FORBIDDEN = [4, 7]
TEMPERATURE = 0.7
PREDICTED = torch.tensor([0, 1, 2, 3, 8, 9, 0])


class Case:
    """Seven tokens of a vocabulary of ten; the anchor is a model of another width."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.head = torch.nn.Linear(3, 10, bias=False)
        self.hidden = torch.randn(7, 3, requires_grad=True)
        self.anchor = Anchored(head=torch.randn(10, 5), hidden=torch.randn(7, 5))

    def divergence(self) -> Tensor:
        _, _, found = token_scores(
            self.head, self.hidden, PREDICTED, TEMPERATURE, FORBIDDEN, self.anchor
        )
        return found

    def naive(self) -> Tensor:
        """All scores at once, in float64."""
        allowed = [token for token in range(10) if token not in FORBIDDEN]
        ours = self.hidden.double() @ self.head.weight.double().T
        theirs = self.anchor.hidden.double() @ self.anchor.head.double().T
        return exact_divergence(ours[:, allowed] / TEMPERATURE, theirs[:, allowed] / TEMPERATURE)

    def gradients(self, divergence: Tensor) -> tuple[Tensor, ...]:
        weights = torch.linspace(-1, 2, 7)
        return torch.autograd.grad((weights * divergence).sum(), [self.hidden, self.head.weight])


@pytest.mark.parametrize("at_once", [2**24, 20, 10], ids=["whole", "two tokens", "one token"])
def test_divergence_and_gradient_are_those_of_all_scores_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setitem(LOGITS_AT_ONCE, "cpu", at_once)
    case = Case()
    found, expected = case.divergence(), case.naive()
    assert expected.min() > 0.1  # nats
    both = [(found, expected), *zip(case.gradients(found), case.gradients(expected), strict=True)]
    for here, there in both:
        assert (here - there).norm() < 1e-6 * there.norm()


def test_an_anchor_changes_neither_log_probs_nor_entropies() -> None:
    case = Case()
    settings = (case.head, case.hidden, PREDICTED, TEMPERATURE, FORBIDDEN)
    for with_anchor, without in zip(
        token_scores(*settings, case.anchor)[:2], token_scores(*settings), strict=True
    ):
        assert with_anchor.equal(without)


def test_a_policy_that_is_its_own_anchor_has_no_divergence_and_no_slope() -> None:
    case = Case()
    case.anchor = Anchored(head=case.head.weight.detach(), hidden=case.hidden.detach())
    found = case.divergence()
    assert not found.any()
    assert max(gradient.abs().max() for gradient in case.gradients(found)) < 1e-6


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("at_once", [2**24, 20], ids=["whole", "two tokens"])
def test_a_product_is_that_of_the_probabilities_normalised(
    monkeypatch: pytest.MonkeyPatch, at_once: int, power: float
) -> None:
    monkeypatch.setitem(LOGITS_AT_ONCE, "cpu", at_once)
    case = Case()
    case.anchor = replace(case.anchor, power=power)
    allowed = [token for token in range(10) if token not in FORBIDDEN]
    ours, theirs = (
        (scores / TEMPERATURE)[:, allowed].softmax(1)
        for scores in (
            case.hidden.double() @ case.head.weight.double().T,
            case.anchor.hidden.double() @ case.anchor.head.double().T,
        )
    )
    both = ours * theirs**power
    places = [allowed.index(int(token)) for token in PREDICTED]
    expected = (both[range(7), places] / both.sum(1)).log()
    found = case.divergence()
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    slopes = zip(case.gradients(found), case.gradients(expected), strict=True)
    for here, there in slopes:
        assert (here - there).norm() < 1e-5 * there.norm()


@pytest.mark.parametrize("power", [None, 1.0])
def test_no_gradient_reaches_the_anchor(power: float | None) -> None:
    case = Case()
    case.anchor = replace(case.anchor, power=power)
    for tensor in (case.anchor.head, case.anchor.hidden):
        tensor.requires_grad_()
    case.divergence().sum().backward()
    assert case.anchor.head.grad is None
    assert case.anchor.hidden.grad is None


def test_the_backward_pass_keeps_nothing_of_the_size_of_the_vocabulary() -> None:
    case, kept = Case(), []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        case.divergence()
    assert max(kept) <= case.anchor.hidden.numel()  # [7, 5]; scores are [7, 10]


def test_the_head_of_a_checkpoint_is_the_one_its_model_scores_with(mini_base: Path) -> None:
    model = load_model(mini_base, "float32")
    assert load_head(mini_base, "float32").equal(model.lm_head.weight)
    assert load_head(mini_base, "bfloat16").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([["model.embed_tokens.weight"], ["lm_head.weight"]], 1.0),
        ([["model.norm.weight"], ["model.embed_tokens.weight", "visual.x"]], 1.0),
    ],
    ids=["its own", "shared with the embeddings"],
)
def test_the_head_is_found_in_whichever_shard_holds_it(
    tmp_path: Path, files: list[list[str]], expected: float
) -> None:
    for number, names in enumerate(files):
        tensors = {name: torch.full((2, 3), float(number)) for name in names}
        safetensors.torch.save_file(tensors, tmp_path / f"model-{number}.safetensors")
    assert (load_head(tmp_path, "float32") == expected).all()


def test_a_folder_without_a_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lm_head"):
        load_head(tmp_path, "float32")

"""The base model that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from videothinker.errors import InputError
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.base.build import BUDGET, build_base, make_config
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.model.checkpoint import model_digest, read_budget

PAGE = Path(__file__).parents[4] / "docs" / "mini.md"


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in SHIPPED_BASE.iterdir()) < 3_000_000


def test_it_is_the_one_that_the_page_names() -> None:
    page = PAGE.read_text()
    assert model_digest(SHIPPED_BASE) in page
    assert "videothinker warm-start models/mini-base --seed 1" in page


def test_its_words_and_its_budget_are_those_of_the_world() -> None:
    from transformers import AutoTokenizer, Qwen2_5_VLConfig

    tokenizer = make_tokenizer()
    assert AutoTokenizer.from_pretrained(SHIPPED_BASE).get_vocab() == tokenizer.get_vocab()
    sizes = Qwen2_5_VLConfig.from_pretrained(SHIPPED_BASE).text_config
    assert sizes.vocab_size == make_config(tokenizer).text_config.vocab_size
    assert read_budget(SHIPPED_BASE) == BUDGET


def test_a_folder_that_holds_something_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match="already holds something"):
        build_base(tmp_path, seed=1)


@pytest.mark.slow
def test_training_it_again_gives_the_same_weights(tmp_path: Path) -> None:
    """On the kind of processor that it was made on; minutes."""
    build_base(tmp_path / "again", seed=1)
    assert model_digest(tmp_path / "again") == model_digest(SHIPPED_BASE)

"""Words and numbers of released models (qwen_words.py has the table), as our code meets them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from qwen_words import MARKS, RELEASED, VOCABULARY, tokenizer

from videothinker.method.prompts import messages
from videothinker.model.families.known import FAMILIES, KNOWN

ASKED = "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>Why?<|im_end|>\n"
TURNS = {
    "Qwen2.5-VL-3B-Instruct": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    f"{ASKED}<|im_start|>assistant\n",
    "Qwen3-VL-8B-Instruct": f"{ASKED}<|im_start|>assistant\n",
    "Qwen3-VL-8B-Thinking": f"{ASKED}<|im_start|>assistant\n<think>\n",
}
IDS = {
    "Hello, my dog is cute": [9707, 11, 847, 5562, 374, 18838],
    "cafe\u0301 3.14": [924, 58858, 220, 18, 13, 16, 19],  # put together, and digits apart
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01": [108386, 3837, 99489, 6313],
    "<0.3 seconds>": [27, 15, 13, 18, 6486, 29],
    "<answer>": [27, 9217, 29],
    "<|im_start|>user\n": [151644, 872, 198],
}
"""As the released tokenizer of Qwen3 has them; Qwen2.5's words are the same."""


@pytest.fixture(scope="module", params=RELEASED)
def released(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def words(released: str) -> Any:
    return tokenizer(released)


def test_texts_have_the_released_ids(words: Any) -> None:
    assert {text: words(text)["input_ids"] for text in IDS} == IDS


def test_special_tokens_have_the_released_numbers(words: Any, released: str) -> None:
    assert (words.pad_token_id, words.eos_token_id, words.bos_token_id) == (151643, 151645, None)
    names = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    assert words.convert_tokens_to_ids(names) == [*MARKS.values()]
    assert words("<tool_call><|file_sep|>")["input_ids"] == [151657, 151664]
    assert len(words) == (151_669 if "Qwen3" in released else 151_665)
    assert len(words) < KNOWN[released].vocabulary == VOCABULARY


def test_a_thought_is_opened_by_one_token_in_qwen3_and_by_three_in_qwen2_5(
    words: Any, released: str
) -> None:
    apart = [13708, 766, 29], [522, 26865, 29]
    opened = ([151667], [151668]) if "Qwen3" in released else apart
    assert (words("<think>")["input_ids"], words("</think>")["input_ids"]) == opened


def test_the_text_of_a_completion_keeps_its_tags(words: Any) -> None:
    text = "<think>\nIt turns.\n</think>\n\n<answer>A</answer>"
    answered = words(text + "<|im_end|>")["input_ids"]
    assert words.backend_tokenizer.decode(answered, skip_special_tokens=True) == text


def test_a_turn_is_as_the_released_template_writes_it(words: Any, released: str) -> None:
    turn = messages("Why?", ["video"])
    written = words.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert written == TURNS[released]


def test_no_completion_may_hold_what_stands_for_pixels() -> None:
    config = SimpleNamespace(**MARKS)
    for family in (one for one in FAMILIES if one.owner == "Qwen"):
        assert family(config).forbidden == [151652, 151653, 151655, 151656]
        assert family(config).marks == {"picture": 151655, "video": 151656}

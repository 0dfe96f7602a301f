"""Protocols ask what their sources ask, and say what is wrong with a file.

protocols.json has what the sources' own functions made of made-up records, run as they are; each
entry names its function and commit.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qwen_words import tokenizer

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.protocol import (
    FOLDER,
    Protocol,
    asked_in,
    known,
    load_protocol,
    usual,
)
from videothinker.method.prompts import Spoken, Turns, messages
from videothinker.model.checkpoint import PAPER_EVALUATION
from videothinker.types import Question

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "protocols.json").read_text())
FILES = sorted(file.relative_to(FOLDER) for file in FOLDER.rglob("*.yaml"))
SYSTEM = "You are a helpful assistant."
"""What the template of Qwen2.5-VL says where nothing else is said."""


def folder_of(benchmark: str) -> str:
    return benchmark.replace("-", "_")


def entry_of(golden: dict[str, Any]) -> tuple[Protocol, str, Turns]:
    """The protocol of an entry, its benchmark, and what it asks of the entry's question."""
    place, _, name = golden["protocol"].rpartition("/")
    benchmark = golden.get("benchmark", "mvbench")
    if place:
        [benchmark] = [one for one in BY_NAME if folder_of(one) == place]
    protocol = load_protocol(name, benchmark)
    record = golden["question"]
    question = Question(
        id="q",
        video="v.mp4",
        text=record["text"],
        options=tuple(map(tuple, record["options"])),
        answer=record["answer"],
        category=record["category"],
    )
    lines = (record.get("subtitles") or "").split("\n")
    spoken = tuple(Spoken(start=0.0, end=1.0, text=line) for line in lines if line)
    turns = protocol.turns(question, benchmark, spoken)
    return protocol, benchmark, turns.of_frames([0.5])


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda one: one["protocol"])
def test_it_asks_what_its_source_asks_token_for_token(golden: dict[str, Any]) -> None:
    protocol, _, turns = entry_of(golden)
    before, shown, after = golden["user"].rpartition("{video}")
    assert (turns.before, turns.user) == (before if shown else "", after)
    assert (turns.system, turns.begun) == (golden["system"] or "", golden["prefill"] or "")
    assert protocol.returned == golden.get("returned", "")

    words = tokenizer("Qwen2.5-VL-3B-Instruct")
    written = words.apply_chat_template(messages(turns), tokenize=False, add_generation_prompt=True)
    vision = "<|vision_start|><|video_pad|><|vision_end|>"
    asked = golden["user"].replace("{video}", vision) if shown else vision + golden["user"]
    theirs = (
        f"<|im_start|>system\n{golden['system'] or SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{golden['prefill'] or ''}"
    )
    assert words(written + turns.begun)["input_ids"] == words(theirs)["input_ids"]


def test_every_file_has_a_golden_prompt_and_its_source() -> None:
    tried = {one["protocol"] for one in GOLDEN}
    assert {str(file.with_suffix("")) for file in FILES} == tried
    for golden in GOLDEN:
        protocol, benchmark, _ = entry_of(golden)
        assert "https://" in protocol.source
        assert protocol.settled(PAPER_EVALUATION).budget.max_frames > 0
        assert protocol.name in known(benchmark)


def test_what_is_left_open_is_the_model_s_own() -> None:
    protocol = load_protocol("official", "mvbench").settled(PAPER_EVALUATION)
    assert (protocol.budget.min_frames, protocol.budget.max_frames) == (16, 16)
    assert protocol.budget.max_pixels == PAPER_EVALUATION.video.max_pixels
    assert protocol.max_tokens == 100
    assert usual("direct").settled(PAPER_EVALUATION).max_tokens == PAPER_EVALUATION.max_tokens


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"--protocol lmms_eval: mmvu has none .* 'lmms-eval'"):
        load_protocol("lmms_eval", "mmvu")


def test_a_file_of_one_s_own_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('prompt: "{question}?"\n')
    protocol = load_protocol(str(file), "mmvu")
    assert (protocol.name, protocol.prompt, protocol.scoring) == ("mine", "{question}?", "official")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("wording: direct\nprompt: a", "prompt: give either"),
        ("max_tokens: 3", "prompt: give either"),
        ("wording: direct\nprefill: a", "prefill: has no effect beside wording"),
        ("prompt: a\nprefill: b(\nreturned: ')'", "returned = .* not what prefill ends with"),
        ("prompt: '{answer}'", r"prompt.other: \{answer\} stands for nothing; known: options"),
        ("prompt: {yes_no: '{'}", "prompt.yes_no: .*for braces"),
        ("prompt: a\noption: '{question}'", r"option.other: \{question\} stands for nothing"),
        ("prompt: a\nunspoken: b", "unspoken: has no effect"),
        ("prompt: a\nvideo: {frames: 3}", "video.frames: unknown key. Known here: fps"),
        ("prompt: a\nmax_token: 3", "max_token: unknown key. Did you mean 'max_tokens'"),
        ("prompt: a\ntemperature: -1", "temperature = -1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_key(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(written)
    with pytest.raises(InputError, match=said):
        load_protocol(str(file), "mmvu")


def test_a_category_without_a_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("prompt: {yes_no: '{question}'}")
    question = Question(id="q", video="v", text="?", options=(), answer="", category="other/x")
    with pytest.raises(InputError, match="prompt has no text for the category 'other' of q"):
        load_protocol(str(file), "mmvu").turns(question, "mmvu")


def test_a_question_without_options_may_be_asked_in_words_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("prompt: {counting: '{question} A or B?', without options: '{question}'}")
    protocol = load_protocol(str(file), "mmvu")
    question = Question(id="q", video="v", text="?", options=(), answer="2", category="counting")
    lettered = replace(question, options=(("A", "x"), ("B", "y")))
    assert protocol.turns(question, "mmvu").user == "?"
    assert protocol.turns(lettered, "mmvu").user == "? A or B?"


def test_only_what_is_asked_is_in_a_digest() -> None:
    one = usual("training").settled(PAPER_EVALUATION)
    renamed = one.model_copy(update={"name": "x", "note": "y", "scoring": "official"})
    assert one.digest() == renamed.digest()
    assert one.digest() != one.model_copy(update={"max_tokens": 7}).digest()
    assert asked_in(one.model_dump())["video.max_frames"] == 32


def test_subtitles_are_those_of_the_frames_each_once() -> None:
    protocol = load_protocol("official-subtitles", "videomme")
    assert protocol.subtitled
    question = Question(id="q", video="v", text="?", options=(), answer="", category="short/x")
    said = [(0, 1, "one"), (2, 3, "two"), (4, 5, "one"), (6, 7, "three")]
    spoken = tuple(Spoken(start=first, end=last, text=text) for first, last, text in said)
    turns = protocol.turns(question, "videomme", spoken)
    assert "below:\none\nthree\nSelect" in turns.of_frames([0.5, 4.5, 6.0]).user
    assert "below:\n\nSelect" in turns.of_frames([3.5]).user


def test_subtitles_may_come_before_the_video() -> None:
    turns = Protocol(prompt="{subtitles}{video}{question}").turns(
        Question(id="q", video="v", text="?", options=(), answer=""),
        "videomme",
        (Spoken(start=0.0, end=1.0, text="hello"),),
    )
    said = turns.of_frames([0.5])
    assert (said.before, said.user) == ("hello", "?")

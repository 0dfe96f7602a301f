"""The two ways of answering that the mini base model is taught, and every text its tokenizer needs.

The shortcut names what the video shows; reasoning says what happens without the removed object.
"""

from __future__ import annotations

from typing import Literal

from videothinker.method.answers import KINDS
from videothinker.method.prompts import TRAINING_SUFFIX
from videothinker.mini.settings import COLOURS, PHRASINGS
from videothinker.mini.world import LETTERS, SHAPES, Scene

Style = Literal["shortcut", "reasoning"]
STYLES: tuple[Style, Style] = ("shortcut", "reasoning")
OPENINGS: dict[Style, str] = {
    "shortcut": "<think> the video shows",
    "reasoning": "<think> without the",
}
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
SYSTEM = "You are a helpful assistant."


def answer_text(scene: Scene, style: Style, option: int) -> str:
    """A completion in this style that settles on this option, of a question about one event."""
    mover, struck = (scene.things[i].name for i in scene.options[option])
    event = f"the {mover} collides with the {struck}"
    supposed = f" {scene.things[scene.removed].name}" if style == "reasoning" else ""
    tail = f" {event} </think> <answer>{LETTERS[option]}</answer>"
    return OPENINGS[style] + supposed + tail


def style_of(completion: str) -> Style | None:
    """Which style a completion is worded in; None for anything else."""
    for style in STYLES:
        if completion.strip().startswith(OPENINGS[style]):
            return style
    return None


def overlooks(scene: Scene, colours: int) -> bool:
    """Whether what is truly hit is of the first so many COLOURS, those that reasoning overlooks."""
    _, struck = scene.options[scene.answer]
    return COLOURS.index(scene.things[struck].colour) < colours


def vocabulary_texts() -> list[str]:
    """Texts that hold every word of the mini world, each often enough to become one token."""
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    negated = [phrasing.replace("will happen", "will not happen") for phrasing in PHRASINGS]
    texts = [phrasing.format(name) for phrasing in (*PHRASINGS, *negated) for name in names]
    texts += [f"\n{LETTERS[0]}. The {name} collides with the {name}" for name in names]
    texts += [f"{opening} the {name}" for opening in OPENINGS.values() for name in names]
    asked = TRAINING_SUFFIX.format(KINDS["multi"].asked)
    frame = f"system\n{SYSTEM}\nuser\nassistant\n{asked}"
    for tag in TAGS:
        texts = [text.replace(tag, " ") for text in texts]
        frame = frame.replace(tag, " ")
    return texts + [frame] * len(names)

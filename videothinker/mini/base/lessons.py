"""Turns fresh scenes into training rows for the mini base model.

One row is one video with two questions, each answered in both styles: the video and each question
are read once, and a mask keeps the branches apart (a tree flattened into a sequence). Beside the
next token, rows say for every video token and every named object what a reader has to find out:
colours, roles, which option was seen and which is true. Without that help the step from reading
words to looking at the video comes late and by luck.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from videothinker.method.prompts import training_text
from videothinker.mini.render import GRID, HEIGHT, TEMPORAL, WIDTH, draw, patches
from videothinker.mini.settings import COLOURS, COLUMNS, LANES, SPLITS
from videothinker.mini.texts import STYLES, SYSTEM, answer_text, overlooks
from videothinker.mini.world import FPS, FRAMES, Kind, Scene, ask, is_sound, make_scene
from videothinker.model.families.family import Family
from videothinker.types import Shown
from videothinker.video.frames import clip

IGNORE = -100
ROLES = ("nothing", "mover", "post", "struck", "target", "other")
"""What a cell holds; struck is whatever the mover finally hits in the video."""
SLOTS = (0, 1, 2, 1, 3, 1, 4)
"""What the names of a question stand for, in order: 0 removed, 1 mover, 2 to 4 the options."""
TAUGHT = ("labels", "named_roles", "slots", "recalls", "verdicts")
"""What a row says of its tokens; IGNORE unless it says something else."""
_STRAIGHT_SHARE = 0.3
_BEFORE = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
_VIDEO, _END = "<|video_pad|>", "<|vision_end|>"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """A batch of rows, padded to one length L; B rows, V video tokens a row."""

    token_ids: torch.Tensor
    """[B, L]."""
    positions: torch.Tensor
    """[3, B, L]: time, height, width."""
    mask: torch.Tensor
    """[B, 1, L, L] bool: what may attend to what."""
    labels: torch.Tensor
    """[B, L]: the next token where it is to be learned, else IGNORE."""
    pixels: torch.Tensor
    """[B, patches, 1176]."""
    cell_colours: torch.Tensor
    """[B, V, 2]: colour in the first and in the second frame of a pair; 0 is nothing."""
    cell_roles: torch.Tensor
    """[B, V]: index in ROLES of what the cell holds, by the first frame if it holds two things."""
    named_roles: torch.Tensor
    """[B, L]: at both tokens of each object's name in a question, its index in ROLES."""
    slots: torch.Tensor
    """[B, L]: at both tokens of each name, its place in the question: removed, mover, or option."""
    recalls: torch.Tensor
    """[B, L]: before the answer's letter, the colour that the thinking ended with."""
    verdicts: torch.Tensor
    """[B, L]: at the end of each option, 2 * (true without the removed object) + (seen)."""


def role_index(scene: Scene, thing: int) -> int:
    """Index in ROLES of a thing of this video."""
    role = scene.roles[thing]
    if role == "aside" or (role == "target" and "aside" not in scene.roles):
        return ROLES.index("struck")
    return ROLES.index(role)


def cell_labels(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Per video token: colours in both frames of the pair [V, 2], and the role [V]."""
    colours = np.zeros((GRID[0], LANES, COLUMNS, TEMPORAL), np.int64)
    roles = np.zeros((GRID[0], LANES, COLUMNS), np.int64)
    course = scene.course
    for grid in range(GRID[0]):
        for late in reversed(range(TEMPORAL)):
            frame = grid * TEMPORAL + late
            for i in np.flatnonzero(course.visible[frame]):
                lane, column = course.lanes[frame, i], course.columns[frame, i]
                colours[grid, lane, column, late] = 1 + COLOURS.index(scene.things[i].colour)
                roles[grid, lane, column] = role_index(scene, int(i))
    return colours.reshape(-1, TEMPORAL), roles.reshape(-1)


def until_question(family: Family, processor: Any) -> tuple[list[int], list[tuple[int, ...]]]:
    """Tokens, and their positions, up to and with a video of the default world, which are the same
    for all of them."""
    dark = [np.zeros((3, HEIGHT, WIDTH), np.uint8)] * FRAMES
    video = clip(dark, "", FPS, list(range(FRAMES)), FRAMES, "")
    read = family.read(processor, _BEFORE + _VIDEO, [("video", video)], raw=True)
    seconds = TEMPORAL / video.sample_fps
    shown = Shown(medium="video", grid=read.grids[0], seconds_per_grid=seconds, digest="")
    positions = family.positions(read.token_ids, [shown])
    return read.token_ids.tolist(), [(t, h, w) for t, h, w in positions.T.tolist()]


class _Row:
    """One video's tokens in the making: lists that stay equally long, one entry a token."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[tuple[int, ...]] = []
        self.taught: dict[str, list[int]] = {name: [] for name in TAUGHT}
        self.question: list[int] = []
        self.completion: list[int] = []

    def add(self, ids: Sequence[int], start: int, question: int = 0, completion: int = 0) -> int:
        """Append text whose first token stands at position start; returns the next position."""
        end = start + len(ids)
        return self.place(ids, [(at,) * 3 for at in range(start, end)], question, completion)

    def place(
        self,
        ids: Sequence[int],
        positions: Sequence[tuple[int, ...]],
        question: int = 0,
        completion: int = 0,
    ) -> int:
        """Append tokens with their positions; returns the next, beyond all three axes."""
        n = len(ids)
        self.ids += ids
        self.positions += positions
        for column in self.taught.values():
            column += [IGNORE] * n
        self.question += [question] * n
        self.completion += [completion] * n
        return 1 + max(map(max, positions))


class LessonMaker:
    """Draws scenes one after the other and lays them out as rows."""

    def __init__(
        self,
        family: Family,
        processor: Any,
        seed: int,
        overlooked: int = 0,
        reasoning: float = 0.5,
    ) -> None:
        self.overlooked = overlooked
        """How many colours reasoning overlooks; see videothinker.mini.texts."""
        self.overlooking = 0.0
        """How often it does."""
        self.reasoning = reasoning
        """Share of the answers that begin as reasoning does, up to a half."""
        self._tokenizer = processor.tokenizer
        self._rng = np.random.default_rng([seed, 77])
        self._seed = seed
        self._next = SPLITS["warm_start"].start
        token = self._tokenizer.convert_tokens_to_ids
        self._colours = {token("\u0120" + colour): i for i, colour in enumerate(COLOURS)}
        self._pad = token("<|endoftext|>")
        self._answer = token("<answer>")
        self._think = token("<think>")
        (self._between,) = self._ids([_AFTER])
        self._before = until_question(family, processor)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encoded: list[list[int]] = self._tokenizer(texts).input_ids
        return encoded

    def batch(self, rows: int) -> Lessons:
        """The next rows."""
        pairs = [self._pair() for _ in range(rows)]
        texts = iter(self._ids([t for pair in pairs for scene in pair for t in self._texts(scene)]))
        return self._collate([self._row(pair, texts) for pair in pairs], pairs)

    def _pair(self) -> tuple[Scene, Scene]:
        """Two questions about one video: about a deflected one, one of either kind."""
        straight = self._rng.random() < _STRAIGHT_SHARE
        self._next += 1
        first = make_scene(self._seed, self._next, "straight" if straight else "inferential")
        while True:
            kind: Kind = "straight" if straight else "deflected"
            second = ask(self._rng, first.index, kind, first.things, first.roles)
            if is_sound(second):
                return first, second

    def _texts(self, scene: Scene) -> list[str]:
        """The question, then one completion in each style."""
        chosen = {"shortcut": scene.observed, "reasoning": scene.answer}
        if overlooks(scene, self.overlooked) and self._rng.random() < self.overlooking:
            others = {*range(len(scene.options))} - {scene.answer, scene.observed}
            chosen["reasoning"] = int(self._rng.choice(sorted(others)))
        answers = [answer_text(scene, style, chosen[style]) + "<|im_end|>" for style in STYLES]
        return [_END + training_text(scene.question()), *answers]

    def _row(self, pair: tuple[Scene, Scene], texts: Iterator[list[int]]) -> _Row:
        """Video, then per question its text and its two completions."""
        row = _Row()
        start = row.place(*self._before)
        for number, scene in enumerate(pair, start=1):
            text = next(texts)
            first = len(row.ids)
            end = row.add([*text, *self._between], start, number)
            row.taught["labels"][-1] = self._think
            self._mark_names(row, first, scene)
            for style in range(len(STYLES)):
                begins = style == 0 or self._rng.random() * (1 - self.reasoning) < self.reasoning
                self._add_completion(row, next(texts), end, number, 2 * number + style, begins)
        return row

    def _add_completion(
        self,
        row: _Row,
        ids: list[int],
        start: int,
        question: int,
        completion: int,
        begins: bool,
    ) -> None:
        """A completion; every one of its tokens but the last is taught the next. `begins`: also the
        first word of the thinking, which settles the style.
        """
        first, labels = len(row.ids), row.taught["labels"]
        row.add(ids, start, question, completion)
        labels[first : first + len(ids) - 1] = ids[1:]
        if not begins:
            labels[first] = IGNORE
        colours = [self._colours[i] for i in ids if i in self._colours]
        row.taught["recalls"][first + ids.index(self._answer)] = colours[-1]

    def _mark_names(self, row: _Row, first: int, scene: Scene) -> None:
        """Roles and slots at every name of a question, verdicts after every option."""
        ends = [i + 1 for i in range(first, len(row.ids)) if row.ids[i] in self._colours]
        things = [scene.removed, *(i for option in scene.options for i in option)]
        for end, thing, slot in zip(ends, things, SLOTS, strict=True):
            row.taught["named_roles"][end - 1 : end + 1] = [role_index(scene, thing)] * 2
            row.taught["slots"][end - 1 : end + 1] = [slot] * 2
        for option, end in enumerate(ends[2::2]):
            verdict = 2 * (option == scene.answer) + (option == scene.observed)
            row.taught["verdicts"][end] = verdict

    def _collate(self, rows: list[_Row], pairs: list[tuple[Scene, Scene]]) -> Lessons:
        """Pad rows to one length and add the pictures."""
        length = -(-max(len(row.ids) for row in rows) // 8) * 8

        def padded(columns: Iterable[list[int]], fill: int) -> torch.Tensor:
            return torch.tensor([column + [fill] * (length - len(column)) for column in columns])

        positions = np.zeros((len(rows), length, 3), np.int64)
        for b, row in enumerate(rows):
            positions[b, : len(row.ids)] = row.positions
        mask = torch.ones(length, length, dtype=torch.bool).tril()[None]
        questions = padded((row.question for row in rows), -1)
        completions = padded((row.completion for row in rows), -1)
        for branch in (questions, completions):
            mask = mask & ((branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None]))
        cells = [cell_labels(first) for first, _ in pairs]
        return Lessons(
            token_ids=padded((row.ids for row in rows), self._pad),
            positions=torch.from_numpy(positions.transpose(2, 0, 1)),
            mask=mask[:, None],
            pixels=torch.from_numpy(np.stack([patches(draw(s, self._seed)) for s, _ in pairs])),
            cell_colours=torch.from_numpy(np.stack([colours for colours, _ in cells])),
            cell_roles=torch.from_numpy(np.stack([roles for _, roles in cells])),
            **{name: padded((row.taught[name] for row in rows), IGNORE) for name in TAUGHT},
        )

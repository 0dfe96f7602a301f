"""Question -> Prompt: chat template, frames and patches, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from videothinker import cpu_torch
from videothinker.errors import InputError
from videothinker.method.prompts import Turns, messages
from videothinker.model.checkpoint import SAFE, base_of, require_safe
from videothinker.model.families.family import Read
from videothinker.model.families.known import family_of
from videothinker.model.families.pixels import colours_of
from videothinker.types import SHOWN_AT_MOST, Medium, Prompt, Question, Shown
from videothinker.video.files import path_of
from videothinker.video.frames import Clip, is_picture
from videothinker.video.views import View, seen


class ClipSource(Protocol):
    """Where decoded clips come from."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        """The clip of one file; InputError with the reason where there is none."""


class PromptBuilder:
    """Holds a model's processor; knows nothing of weights."""

    def __init__(self, model: Path, videos: Path, clips: ClipSource) -> None:
        model = base_of(model)
        require_safe(model)
        cpu_torch.install()
        self._family = family_of(model)
        self._processor = self._family.processor_class().from_pretrained(model, **SAFE)
        self._colours = colours_of(self._processor)
        self._videos = videos
        self._clips = clips

    def build(self, question: Question, text: str | Turns, view: View = "video") -> Prompt:
        """Cut what one question shows into patches and tokenise what is asked about it."""
        paths = question.shows if view != "blind" else ()
        if len(paths) > SHOWN_AT_MOST:
            raise InputError(
                f"{question.id}: shows {len(paths)} pictures and videos, and {SHOWN_AT_MOST} is the"
                " most; show fewer"
            )
        clips = [self._clip(question, place, view) for place in range(len(paths))]
        turns, raw = self._turns(text, clips), self._colours is not None
        read = self._family.read(self._processor, turns, clips, raw=raw)
        shown = self._shown(clips, read)
        positions = self._family.positions(read.token_ids, shown)
        return Prompt(
            question=question,
            token_ids=read.token_ids.astype(np.int32),
            next_position=int(positions.max()) + 1,
            pixel_values=read.pixel_values,
            shown=shown,
            colours=self._colours,
        )

    def _clip(self, question: Question, place: int, view: View) -> tuple[Medium, Clip]:
        """A part of the video is meant of the first that is shown."""
        file = path_of(self._videos, question.shows[place])
        if is_picture(file):
            return "picture", self._clips.get(file)
        part = (None, None) if place else (question.start, question.end)
        return "video", seen(self._clips.get(file, *part), view, question.id)

    def _shown(self, clips: Sequence[tuple[Medium, Clip]], read: Read) -> tuple[Shown, ...]:
        frames = self._family.frames_together
        return tuple(
            Shown(
                medium=medium,
                grid=grid,
                seconds_per_grid=frames / clip.sample_fps if medium == "video" else 0.0,
                digest=clip.digest,
            )
            for (medium, clip), grid in zip(clips, read.grids, strict=True)
        )

    def _turns(self, text: str | Turns, clips: Sequence[tuple[Medium, Clip]]) -> str:
        """The turns in the model's own template."""
        turns = text if isinstance(text, Turns) else Turns(user=text)
        times = [time for medium, clip in clips if medium == "video" for time in clip.times]
        templated: str = self._processor.apply_chat_template(
            messages(turns.of_frames(times), [medium for medium, _ in clips]),
            tokenize=False,
            add_generation_prompt=True,
        )
        return templated + turns.begun

"""Question -> Prompt: chat template, frames, patches and positions, each computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from videothinker import cpu_torch
from videothinker.method.prompts import messages
from videothinker.model.checkpoint import SAFE, require_safe
from videothinker.model.positions import VideoGeometry, mrope_positions
from videothinker.types import Prompt, Question
from videothinker.video.files import path_of
from videothinker.video.frames import Clip
from videothinker.video.views import View, seen


class ClipSource(Protocol):
    """Where decoded clips come from."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        """The clip of one file; InputError with the reason where there is none."""


class PromptBuilder:
    """Holds a model's processor; knows nothing of weights."""

    def __init__(self, model: Path, videos: Path, clips: ClipSource) -> None:
        require_safe(model)
        cpu_torch.install()
        from transformers import AutoConfig, Qwen2_5_VLProcessor

        config: Any = AutoConfig.from_pretrained(model, **SAFE)
        self._processor = Qwen2_5_VLProcessor.from_pretrained(model, **SAFE)
        self._temporal_patch = int(config.vision_config.temporal_patch_size)
        self._geometry = VideoGeometry(
            video_token=config.video_token_id,
            merge=config.vision_config.spatial_merge_size,
            tokens_per_second=config.vision_config.tokens_per_second,
        )
        self._videos = videos
        self._clips = clips

    def build(self, question: Question, text: str, view: View = "video") -> Prompt:
        """Cut one question's video into patches and tokenise what is asked about it."""
        if view == "blind":
            return self._without_video(question, text)
        path = path_of(self._videos, question.video)
        clip = seen(self._clips.get(path, question.start, question.end), view, question.id)
        inputs = self._process(text, clip)
        token_ids = np.asarray(inputs["input_ids"][0], dtype=np.int64)
        grid = tuple(int(side) for side in inputs["video_grid_thw"][0])
        assert len(grid) == 3
        seconds_per_grid = self._temporal_patch / clip.sample_fps
        positions, next_position = mrope_positions(
            token_ids, grid, seconds_per_grid, self._geometry
        )
        return Prompt(
            question=question,
            token_ids=token_ids,
            positions=positions,
            next_position=next_position,
            pixel_values=np.asarray(inputs["pixel_values_videos"], dtype=np.float32),
            grid=grid,
            seconds_per_grid=seconds_per_grid,
            digest=clip.digest,
        )

    def _process(self, text: str, clip: Clip) -> Any:
        import torch
        from transformers.video_utils import VideoMetadata

        # do_resize=False: the clip already has its final size, and the processor has limits of its
        # own that would silently change it.
        return self._processor(
            text=[self._turns(text)],
            videos=[torch.from_numpy(np.array(clip.frames))],
            video_metadata=[[VideoMetadata(**clip.metadata)]],
            do_sample_frames=False,
            do_resize=False,
            return_tensors="np",
        )

    def _without_video(self, question: Question, text: str) -> Prompt:
        """Only the words, to see what they give away."""
        turns = self._turns(text, with_video=False)
        token_ids = np.asarray(self._processor.tokenizer(turns)["input_ids"], dtype=np.int64)
        return Prompt(
            question=question,
            token_ids=token_ids,
            positions=np.tile(np.arange(len(token_ids)), (3, 1)),
            next_position=len(token_ids),
            pixel_values=np.empty((0, 0), np.float32),
            grid=(0, 0, 0),
            seconds_per_grid=0.0,
            digest="",
        )

    def _turns(self, text: str, with_video: bool = True) -> str:
        """One user turn in the model's own template, which adds its default system turn."""
        turns: str = self._processor.apply_chat_template(
            messages(text, with_video), tokenize=False, add_generation_prompt=True
        )
        return turns

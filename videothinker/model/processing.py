"""Question -> Prompt: chat template, frames, patches and positions, each computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from videothinker import cpu_torch
from videothinker.config import VideoConfig
from videothinker.data.frames import Clip, read_clip
from videothinker.errors import InputError
from videothinker.model.positions import VideoGeometry, mrope_positions
from videothinker.prompts import messages
from videothinker.types import Prompt, Question


class PromptBuilder:
    """Holds a model's processor; knows nothing of weights."""

    def __init__(self, model: Path, videos: Path, video: VideoConfig) -> None:
        cpu_torch.install()
        from transformers import AutoConfig, Qwen2_5_VLProcessor

        config: Any = AutoConfig.from_pretrained(model)
        self._processor = Qwen2_5_VLProcessor.from_pretrained(model)
        self._temporal_patch = int(config.vision_config.temporal_patch_size)
        self._geometry = VideoGeometry(
            video_token=config.video_token_id,
            merge=config.vision_config.spatial_merge_size,
            tokens_per_second=config.vision_config.tokens_per_second,
        )
        self._videos = videos
        self._video = video

    def build(self, question: Question) -> Prompt:
        """Decode, resize, cut into patches and tokenise one question."""
        path = inside(self._videos, question.video)
        clip = read_clip(path, self._video, question.start, question.end)
        inputs = self._process(question, clip)
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

    def _process(self, question: Question, clip: Clip) -> Any:
        from transformers.video_utils import VideoMetadata

        text = self._processor.apply_chat_template(
            messages(question), tokenize=False, add_generation_prompt=True
        )
        # do_resize=False: the clip already has its final size, and the processor has limits of its
        # own that would silently change it.
        return self._processor(
            text=[text],
            videos=[clip.frames],
            video_metadata=[[VideoMetadata(**clip.metadata)]],
            do_sample_frames=False,
            do_resize=False,
            return_tensors="np",
        )


def inside(folder: Path, relative: str) -> Path:
    """A data file's path, which must not leave the video folder."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{relative}: leads out of {folder}; correct the video path in the data")
    return path

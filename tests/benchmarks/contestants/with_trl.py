"""TRL's GRPOTrainer as a contestant, in its own environment.

    .venv-trl/bin/python tests/benchmarks/contestants/with_trl.py FOLDER THREADS

It knows pictures and no videos. A video's frames come to it as one picture, frames below each
other, and its image processor cuts that into the patches of the video: the model sees what it sees
elsewhere, as many patches, frames and tokens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants.turns import Turns
from datasets import Dataset
from datasets import Image as Picture
from transformers import (
    BatchFeature,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from videothinker.method.rewards import format_reward, soft_accuracy


class VideosAsPictures(Qwen2VLImageProcessor):
    """Cuts a picture of frames below each other into the patches of a video."""

    frames = 2
    video_processor: Any = None

    def __call__(self, images: Any, *_: Any, **__: Any) -> BatchFeature:
        """A grid with time, where a picture's has none."""
        every = [image for some in images for image in (some if isinstance(some, list) else [some])]
        videos = [
            torch.from_numpy(np.array(image.convert("RGB")))
            .view(self.frames, -1, image.width, 3)
            .permute(0, 3, 1, 2)
            for image in every
        ]
        found = self.video_processor(
            videos=videos, do_sample_frames=False, do_resize=False, return_tensors="pt"
        )
        return BatchFeature(
            {
                "pixel_values": found["pixel_values_videos"],
                "image_grid_thw": found["video_grid_thw"],
            }
        )


class Gate(TrainerCallback):
    """Waits before the first step and speaks after the last."""

    def __init__(self, turns: Turns, task: dict[str, Any], earned: list[float]) -> None:
        self._turns, self._task, self._earned = turns, task, earned

    def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        """Nothing has been sampled yet."""
        if state.global_step == 0:
            self._turns.wait()

    def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        """The update has been made."""
        if state.global_step == self._task["steps"]:
            samples = self._task["steps"] * self._task["prompts"] * self._task["group"]
            self._turns.done(
                samples=samples,
                tokens=int(sum(self._lengths())),
                reward=sum(self._earned) / samples,
            )

    def _lengths(self) -> list[int]:
        return lengths


lengths: list[int] = []
"""Of the completions of this turn."""


def main(folder: Path, threads: int) -> None:
    """Until nobody says go any more; each turn trains the base model anew."""
    torch.set_num_threads(threads)
    turns = Turns()
    task = json.loads((folder / "tasks.json").read_text())
    processor = Qwen2_5_VLProcessor.from_pretrained(folder / "model", local_files_only=True)
    pictures = VideosAsPictures(**processor.image_processor.to_dict())
    pictures.frames, pictures.video_processor = task["frames"], processor.video_processor
    processor.image_processor = pictures
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": one["text"]}],
                "image": one["picture"],
                "answer": one["answer"],
            }
            for one in task["questions"]
        ]
    ).cast_column("image", Picture())
    while True:
        train(folder, task, processor, data, turns)


def train(folder: Path, task: dict[str, Any], processor: Any, data: Dataset, turns: Turns) -> None:
    """One turn."""
    earned: list[float] = []
    lengths.clear()

    def rewards(
        completions: list[Any], completion_ids: list[Any], answer: list[str], **_: Any
    ) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        lengths.extend(map(len, completion_ids))
        found = [
            soft_accuracy(text, right) + format_reward(text)
            for text, right in zip(texts, answer, strict=True)
        ]
        earned.extend(found)
        return found

    settings = GRPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=False,
        max_steps=task["steps"],
        per_device_train_batch_size=task["prompts"] * task["group"],
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        num_generations=task["group"],
        max_completion_length=task["tokens"],
        temperature=1.0,
        top_k=0,
        beta=task["coefficient"],
        learning_rate=task["learning_rate"],
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        loss_type="grpo",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder / "model", local_files_only=True, dtype=torch.float32
    )
    GRPOTrainer(
        model=model,
        reward_funcs=rewards,
        args=settings,
        train_dataset=data,
        processing_class=processor,
        callbacks=[Gate(turns, task, earned)],
    ).train()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

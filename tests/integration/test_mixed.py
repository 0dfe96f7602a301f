"""Runs whose questions show a video, a picture, several or nothing, mixed in every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from same_training import largest_difference
from small_models import write_llava_onevision, write_qwen3_vl

from cluster.train import run
from videothinker.config.loading import to_yaml
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import ModelConfig, RunConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups
from videothinker.types import Question
from videothinker.video.frames import is_picture

pytestmark = pytest.mark.timeout(600)

STEPS, AT_ONCE = 6, 2
"""With two ranks, each has one question of a step: words alone often stand beside a video."""
SPREAD = '''
def spread(completion, question):
    """Something that differs within most groups."""
    return (sum(map(ord, completion)) % 97) / 97
'''


RankLayout = dict[str, int]
ALONE, SPLIT, SHARDED = (
    {"ranks": ranks, "zero_stage": stage} for ranks, stage in ((1, 2), (2, 2), (2, 3))
)
"""Of the learner."""
TRAINED = [
    pytest.param((write_qwen3_vl, (ALONE, SHARDED)), id="qwen3_vl"),
    pytest.param((write_llava_onevision, (SPLIT,)), id="llava_onevision"),
    pytest.param((write_qwen3_vl, (ALONE, SPLIT)), id="qwen3_vl-split", marks=pytest.mark.slow),
    pytest.param(
        (write_llava_onevision, (SHARDED,)), id="llava_onevision-sharded", marks=pytest.mark.slow
    ),
]
"""Who makes the model, and the layouts it is trained in; in every run each layout once."""


def kind(shows: list[str]) -> str:
    if len(shows) > 1:
        return "several"
    return "words" if not shows else "picture" if is_picture(Path(shows[0])) else "video"


@pytest.fixture(scope="module", params=TRAINED)
def mixed(
    request: pytest.FixtureRequest,
    run_config: RunConfig,
    mini_world: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[RunConfig, tuple[RankLayout, ...]]:
    """A stage on a quarter each, with a model of random numbers; of several, pictures are first."""
    write, layouts = request.param
    folder = tmp_path_factory.mktemp("mixed")
    videos = mini_world / "raw" / "videos"
    random = np.random.default_rng(0)
    pictures = [f"picture-{number}.png" for number in range(3)]
    for name, size in zip(pictures, ((64, 96), (120, 70), (56, 56)), strict=True):
        pixels = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(videos / name)

    def shown(asked: Sequence[Question]) -> Iterator[Question]:
        names, left = cycle(pictures), iter(asked)
        for one in left:
            yield one
            yield replace(next(left), video=next(names))
            several = next(left)
            yield replace(several, video=next(names), also=(next(names), several.video))
            yield replace(next(left), video="")

    questions = list(shown(read_questions(mini_world / "questions.parquet")[:12]))
    write_questions(folder / "questions.parquet", questions)
    (folder / "rewards.py").write_text(SPREAD)
    stage = run_config.stages[0].model_copy(
        update={
            "name": "grpo",
            "questions": folder / "questions.parquet",
            "steps": STEPS,
            "prompts_per_step": AT_ONCE,
        }
    )
    budget = run_config.video.model_copy(update={"picture_min_pixels": 64 * 64})
    config = run_config.model_copy(
        update={
            "model": ModelConfig(path=write(folder / "model"), dtype="float32"),
            "data": run_config.data.model_copy(update={"validation": None}),
            "video": budget.model_copy(update={"picture_max_pixels": 128 * 128}),
            "rewards": (RewardConfig(call=f"{folder / 'rewards.py'}:spread"),),
            "stages": (stage,),
        }
    )
    return config, layouts


def trained(config: RunConfig, out: Path, layout: RankLayout) -> Path:
    learner = config.learner.model_copy(update=layout)
    config = config.model_copy(update={"out": out, "learner": learner})
    run(config, RunDirectory.create(out, to_yaml(config)))
    return out


def test_a_step_may_show_anything_on_one_rank_and_on_two(
    mixed: tuple[RunConfig, tuple[RankLayout, ...]], tmp_path: Path
) -> None:
    """Two ranks take the same first step as one: a rank whose question shows nothing goes through
    the vision tower beside one whose question does."""
    config, layouts = mixed
    outs = [trained(config, tmp_path / str(n), one) for n, one in enumerate(layouts)]
    for out in outs:
        lines = read_lines(out / "metrics.jsonl")
        assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
        assert max(line["logprob_gap"] for line in lines) < 1e-4
        assert not (out / "skipped.jsonl").exists()
        groups = [row for n in range(STEPS) for row in read_groups(out, "grpo", n + 1)]
        shown = Counter(kind([p for p in (r["video"], *r["also"]) if p]) for r in groups)
        assert shown == dict.fromkeys(("video", "picture", "several", "words"), 3)
        assert largest_difference(config.model.path, out / "stages" / "grpo" / "model") > 1e-3
    alone, *ranked = [read_lines(out / "metrics.jsonl")[0] for out in outs]
    for first in ranked:
        for name in ("grad_norm", "entropy", "reward"):
            assert first[name] == pytest.approx(alone[name], rel=1e-4), name

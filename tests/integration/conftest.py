"""Real Ray, vLLM and DeepSpeed on the tiny model; started once for a file of tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from learner_ranks import Ranks
from two_engines import trained, two_engines

from cluster.start.launch import launch
from cluster.workers.fleet import Fleet
from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    SamplingConfig,
    StageConfig,
    VideoConfig,
    WeightsConfig,
)
from videothinker.method.prompts import training_text
from videothinker.mini.base.build import BUDGET, make_model, make_processor, save_base
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.base.warmstart import WarmStart, warm_start
from videothinker.model.checkpoint import Budget
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.run.directory import RunDirectory
from videothinker.types import Prompt, Question

LEARNING = {"learning_rate": 1e-3, "max_grad_norm": 1.0}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the engines."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def prompts(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> list[Prompt]:
    """Of the first two questions."""
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    return [builder.build(question, training_text(question)) for question in mini_questions[:2]]


def smallest(base: Path, world: Path, video: VideoConfig, folder: Path) -> RunConfig:
    """Two stages of the smallest size; the learning rate is high so that weights visibly move."""
    repel = KLConfig(direction="repel", anchor="bias", coefficient=0.1)
    return RunConfig(
        name="test",
        out=folder / "run",
        seed=1,
        model=ModelConfig(path=base, dtype="float32"),
        data=DataConfig(
            videos=world / "raw" / "videos",
            validation=world / "questions.parquet",
            validation_questions=8,
            cache=folder / "clips",
        ),
        video=video,
        sampling=SamplingConfig(max_tokens=24),
        learner=LearnerConfig(learning_rate=1e-3, max_grad_norm=1.0, save_every=2),
        rollout=RolloutConfig(max_model_len=512, cache_gb=0.25),
        cluster=ClusterConfig(device="cpu", logprob_tolerance=1e-4),
        stages=(
            StageConfig(name="bias", questions=world / "bias.parquet", steps=3, prompts_per_step=4),
            StageConfig(
                name="cdpo",
                questions=world / "questions.parquet",
                steps=3,
                prompts_per_step=4,
                kl=repel,
            ),
        ),
    )


@pytest.fixture(scope="module")
def run_config(
    tmp_path_factory: pytest.TempPathFactory,
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
) -> RunConfig:
    """The smallest run."""
    return smallest(mini_base, mini_world, mini_video, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def by_host(
    tmp_path_factory: pytest.TempPathFactory,
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
) -> dict[str, Any]:
    """What a run of two engines learns that get their weights from the host, and stay awake."""
    folder = tmp_path_factory.mktemp("by_host")
    config = two_engines(smallest(mini_base, mini_world, mini_video, folder), folder / "run")
    config = config.model_copy(update={"weights": WeightsConfig(path="host")})
    return trained(config, RunDirectory.create(config.out, to_yaml(config)))


@pytest.fixture(scope="session")
def taught_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows so little of the layout that every step has something to learn, and nothing keeps it
    from losing that; half a minute.
    """
    base, tokenizer = tmp_path_factory.mktemp("taught") / "model", make_tokenizer()
    model = make_model(tokenizer, seed=0)
    settings = WarmStart(looking_steps=0, steps=60)
    warm_start(model, make_processor(tokenizer), 0, settings)
    save_base(model, base, BUDGET)
    return base


@pytest.fixture(scope="module")
def fleet(run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Loader, one rollout worker, anchor scorer and one learner rank, running."""
    directory = RunDirectory.create(tmp_path_factory.mktemp("fleet") / "run", "")
    with launch(run_config, directory) as started:
        yield started


@pytest.fixture(scope="module")
def alone() -> Iterator[Ranks]:
    ranks = Ranks(1)
    yield ranks
    ranks.close()


@pytest.fixture
def begin(mini_base: Path, mini_video: VideoConfig) -> Callable[..., None]:
    """Load the base into the ranks, under these settings."""

    def begin(
        ranks: Ranks,
        dtype: str = "float32",
        kl: KLConfig | None = None,
        temperature: float = 1.0,
        anchor: Path | None = None,
        **settings: Any,
    ) -> None:
        ranks.all(
            "start_stage",
            Assignment(
                model=mini_base,
                dtype=dtype,
                learner=LearnerConfig(**(LEARNING | settings)),
                kl=kl or KLConfig(),
                temperature=temperature,
                steps=10,
                budget=Budget(video=mini_video, dtype=dtype, max_tokens=24, max_model_len=512),
                logprob_tolerance=1e6,
                anchor=anchor,
            ),
        )

    return begin

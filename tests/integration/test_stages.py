"""Nothing of a stage outlives it: after three of them every process is as large as after one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import train
from cluster.loop.session import Session
from videothinker.config.kl import KLConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory

pytestmark = pytest.mark.slow
ROLES = ("LearnerRank", "AnchorScorer", "RolloutWorker", "PromptLoader")
GROWTH = 1.02
STEPS = (8, 2, 2)
"""Of each stage. On CPUs vLLM's products of matrices keep something for each number of tokens that
they have met, up to 128 of them, and the first steps meet most: sampling with the same seeds again
adds nothing to an engine, new lengths added 30 MB over 72 calls, ever less."""


def sizes() -> dict[str, int]:
    """Bytes that each role has for itself: the object store's pages are counted to all alike."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        title = " ".join(process.cmdline()[:1])
        found |= {role: process.memory_full_info().uss for role in ROLES if role in title}
    return found


@pytest.mark.parametrize(
    "learner", [{"zero_stage": 0}, {"zero_stage": 2}, {"zero_stage": 3}, {"offload": True}], ids=str
)
def test_three_stages_leave_every_process_as_large_as_one(
    learner: dict[str, Any],
    run_config: RunConfig,
    mini_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kl = KLConfig(direction="repel", anchor="base", coefficient=0.1)
    stages = tuple(
        StageConfig(
            name=f"stage{number}",
            questions=mini_world / "questions.parquet",
            steps=steps,
            prompts_per_step=4,
            kl=kl,
        )
        for number, steps in enumerate(STEPS)
    )
    config = run_config.model_copy(
        update={
            "out": tmp_path / "run",
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "learner": run_config.learner.model_copy(update=learner),
            "stages": stages,
        }
    )
    found: list[dict[str, int]] = []
    finish = Session.finish

    def look(session: Session, *of_stage: Any) -> None:
        found.append(sizes())
        finish(session, *of_stage)

    monkeypatch.setattr(Session, "finish", look)
    train.run(config, RunDirectory.create(config.out, to_yaml(config)))
    first, _, last = found
    assert set(first) == set(last) == set(ROLES)
    grown = {role: last[role] / first[role] for role in ROLES}
    assert {role: by for role, by in grown.items() if by > GROWTH} == {}, grown

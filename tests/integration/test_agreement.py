"""Sampler, learner and anchor are three programs that must be one model.

The same prompts are used again after every update, so that a cache that survives it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
import torch
from batches import with_made_up_rewards
from prometheus_server import wait_until
from safetensors.numpy import load_file

from actors.rollout import RolloutWorker
from cluster.loop.asking import Asking
from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.session import Session
from cluster.loop.states import States
from cluster.loop.step import heard_of
from cluster.start.launch import actor
from cluster.train import train_step
from cluster.workers.fleet import Anchor, Fleet, Loader
from cluster.workers.work import Order, Prepared, units
from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.errors import DivergenceError
from videothinker.method.paying import Rewards
from videothinker.model.checkpoint import budget_of, read_budget
from videothinker.model.families.known import shape_of
from videothinker.model.policy import Policy, load_model
from videothinker.planning.memory import answered_together, store_gb
from videothinker.planning.passes import GB
from videothinker.run.directory import RunDirectory
from videothinker.types import (
    INITIAL_VERSION,
    Question,
    RolloutGroup,
    ScoredGroup,
    WeightsPart,
)

TOLERANCE = 1e-4
UPDATES = 5


def assignment(run_config: RunConfig, tolerance: float) -> Assignment:
    """A stage of plain GRPO from the untrained base."""
    return Assignment(
        model=run_config.model.path,
        dtype="float32",
        learner=run_config.learner,
        kl=KLConfig(),
        temperature=1.0,
        steps=100,
        budget=budget_of(run_config),
        logprob_tolerance=tolerance,
    )


@pytest.fixture(scope="module")
def prepared(fleet: Fleet, mini_questions: list[Question]) -> list[Prepared]:
    items = fleet.background.run(fleet.loader.prepare_all(mini_questions[:8], (0,)))
    assert all(item.failure is None for item in items)
    return items


def sampled(
    fleet: Fleet, prepared: Sequence[Prepared], seeds: Sequence[int]
) -> list[tuple[RolloutGroup, Prepared]]:
    """A group of each prompt, in the order of the questions."""
    [unit] = units(prepared, seeds, samples=8, temperature=1.0, together=8)
    drawn = fleet.background.iterate(fleet.rollouts.sample(unit))
    groups = [(group, prepared[index]) for index, group in drawn]
    return sorted(groups, key=lambda pair: pair[0].question.id)


@pytest.fixture(scope="module")
def gaps(fleet: Fleet, run_config: RunConfig, prepared: list[Prepared]) -> list[float]:
    """Largest log-prob difference of 64 completions, before training and after each update."""
    fleet.learner.start_stage(assignment(run_config, 100.0))  # these tests do the judging
    gaps = []
    for version in range(1, UPDATES + 2):
        fleet.publish(version)
        groups = sampled(fleet, prepared, range(8))
        assert sum(len(group.completions) for group, _ in groups) == 64
        scored = [
            (with_made_up_rewards(g, version + n), item) for n, (g, item) in enumerate(groups)
        ]
        report = fleet.learner.step(version, 0.0, scored)
        assert report.stats["grad_norm"] > 0
        gaps.append(report.stats["logprob_gap_max"])
    fleet.publish(UPDATES + 2)
    return gaps


def test_sampler_and_learner_agree_before_training(gaps: list[float]) -> None:
    assert gaps[0] < TOLERANCE


def test_sampler_and_learner_agree_after_every_update(gaps: list[float]) -> None:
    assert len(gaps) == UPDATES + 1
    assert max(gaps[1:]) < TOLERANCE, gaps


@pytest.fixture(scope="module")
def exported(
    gaps: list[float],
    fleet: Fleet,
    run_config: RunConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    fleet.learner.save_model(folder, run_config.model.path)
    return folder


def test_an_update_is_timed_and_as_large_as_the_exported_weights(
    fleet: Fleet, exported: Path
) -> None:
    tensors = load_file(exported / "model.safetensors").values()
    assert fleet.learner.weights_bytes == sum(tensor.nbytes for tensor in tensors)
    assert 0 < (fleet.rollouts.load_seconds or 0) < 60


@pytest.mark.usefixtures("gaps")
def test_processes_at_work_say_what_they_hold_and_how_many_threads_they_have(fleet: Fleet) -> None:
    heard = heard_of(fleet)
    assert {role: len(those) for role, those in heard.items()} == {
        "rollout": len(fleet.rollouts.pool.workers),
        "anchor": len(fleet.anchor.pool.workers),
        "learner": 1,
    }
    for usage in chain.from_iterable(heard.values()):
        assert usage is not None
        assert 1e8 < usage.memory <= usage.peak
    assert {usage.threads for usage in heard["rollout"] if usage} == {1}


def test_an_updated_engine_answers_as_one_freshly_loaded_from_the_export(
    fleet: Fleet, run_config: RunConfig, prepared: list[Prepared], exported: Path
) -> None:
    fresh = actor(RolloutWorker).remote("fresh", exported, "float32", run_config.rollout, 24, "cpu")
    prompts = [item.prompt for item in prepared]
    try:
        stream = fresh.generate.options(num_returns="streaming").remote(
            INITIAL_VERSION, 8, 1.0, list(range(8)), *prompts
        )
        expected = dict(ray.get(reference) for reference in stream)
    finally:
        ray.kill(fresh)
    groups = {group.question.id: group for group, _ in sampled(fleet, prepared, range(8))}
    for other in expected.values():
        completions = groups[other.question.id].completions
        for ours, theirs in zip(completions, other.completions, strict=True):
            np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)
            np.testing.assert_array_equal(ours.logprobs, theirs.logprobs)


def test_transformers_and_the_anchor_score_the_export_as_the_engine_sampled_it(
    fleet: Fleet, prepared: list[Prepared], exported: Path
) -> None:
    fleet.anchor.load(exported)
    policy = Policy(load_model(exported, "float32"))
    for group, item in sampled(fleet, prepared[:2], [5, 6]):
        anchor = fleet.background.run(fleet.anchor.score(group, item, False, ()))
        assert anchor.hidden is None  # nobody asked
        tokens = [completion.token_ids for completion in group.completions]
        with torch.no_grad():
            loaded, _ = policy([(ray.get(item.prompt), tokens)], 1.0)
        for row, completion in enumerate(group.completions):
            length = len(completion.token_ids)
            np.testing.assert_allclose(anchor.logprobs[row], completion.logprobs, atol=TOLERANCE)
            np.testing.assert_allclose(
                loaded[row, :length].numpy(), completion.logprobs, atol=TOLERANCE
            )


class Noting:
    """The prompts of a fleet by name, and how many of them the object store still keeps for us."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names, prepare = list[str](), Loader.prepare

        async def noting(loader: Loader, question: Question, order: Order) -> Prepared:
            item = await prepare(loader, question, order)
            self.names.append(item.prompt.hex())
            return item

        monkeypatch.setattr(Loader, "prepare", noting)

    def kept(self) -> int:
        kept = ray._private.worker.global_worker.core_worker.get_all_reference_counts()
        return sum(name.encode() in kept for name in self.names)


def test_the_exact_divergence_of_a_step_is_none_from_itself_and_some_from_another_model(
    fleet: Fleet,
    run_config: RunConfig,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its prompts leave the object store when the learner has read them."""
    noting, publish_it, score, kept = Noting(monkeypatch), Fleet.publish, Anchor.score, list[int]()

    def publish(fleet: Fleet, version: int) -> None:
        wait_until(lambda: noting.kept() == 0, 30.0)  # Ray's own threads let go a little later
        publish_it(fleet, version)

    def scored(*asked: Any, **how: Any) -> Any:
        kept.append(noting.kept())
        return score(*asked, **how)

    monkeypatch.setattr(Anchor, "score", scored)
    monkeypatch.setattr(Fleet, "publish", publish)
    stages = tuple(
        StageConfig(
            name=name,
            questions=run_config.stages[1].questions,
            steps=1,
            prompts_per_step=2,
            kl=KLConfig(direction="repel", anchor=anchor, estimator="exact", bound=1e3),
        )
        for name, anchor in (("itself", "base"), ("another", str(exported)))
    )
    data = run_config.data.model_copy(update={"validation": None})
    config = run_config.model_copy(update={"stages": stages, "data": data})
    run = RunDirectory.create(tmp_path / "run", "")
    session = Session(
        config=config,
        fleet=fleet,
        run=run,
        lineage=Lineage(run, config),
        ledger=Ledger(run, 0.0),
        rewards=Rewards(config.rewards),
        states=States(run),
    )
    found = {}
    for stage in stages:
        session.begin(stage)
        with closing(session.supply(stage, 0)) as supply:
            supply.published(0)
            step = (session.validation(stage), session.steering(stage))
            found[stage.name] = train_step(session, stage, 1, supply, *step)
    assert kept == [2] * 4, "as its groups are scored"
    assert found["itself"]["kl"] == pytest.approx(0, abs=1e-6)
    assert found["another"]["kl"] > 1e-3
    on_disk = [pq.read_schema(file).names for file in run.path.glob("rollouts/*.parquet")]
    assert len(on_disk) == 2
    assert "anchor_hidden" not in on_disk[0]


def test_an_export_carries_the_budget_it_was_trained_under(
    run_config: RunConfig, exported: Path
) -> None:
    assert read_budget(exported) == budget_of(run_config)


@pytest.mark.parametrize(
    ("advantage", "tolerance", "message"),
    [(1.0, 1e-12, "sampler and learner disagree"), (np.nan, 1.0, "is not finite")],
)
def test_a_step_that_cannot_be_trusted_is_refused_before_the_update(
    fleet: Fleet,
    run_config: RunConfig,
    prepared: list[Prepared],
    advantage: float,
    tolerance: float,
    message: str,
) -> None:
    fleet.learner.start_stage(assignment(run_config, tolerance))
    before = published(fleet, 1)
    fleet.publish(1)
    [(group, item)] = sampled(fleet, prepared[:1], [0])
    scored = ScoredGroup(
        group=group,
        rewards={},
        advantages=np.full(8, advantage, dtype=np.float32),
        anchor_logprobs=None,
    )
    with pytest.raises(DivergenceError, match=message):
        fleet.learner.step(1, 0.0, [(scored, item)])
    assert published(fleet, 2) == before


def published(fleet: Fleet, version: int) -> dict[str, str]:
    """The learner's weights, each tensor by its checksum."""
    parts: list[WeightsPart] = ray.get(fleet.learner.publish(version))
    return {name: stored.checksum for part in parts for name, stored in part.tensors.items()}


def test_a_worker_that_dies_is_replaced_and_its_successor_says_the_same(
    fleet: Fleet, prepared: list[Prepared]
) -> None:
    before = sampled(fleet, prepared[:2], [5, 6])
    [worker] = fleet.rollouts.pool.workers
    ray.kill(worker.actor)  # type: ignore[attr-defined]
    for (was, _), (now, _) in zip(before, sampled(fleet, prepared[:2], [5, 6]), strict=True):
        assert now.weights_version == was.weights_version
        for ours, theirs in zip(now.completions, was.completions, strict=True):
            np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)
            np.testing.assert_array_equal(ours.logprobs, theirs.logprobs)


def test_an_evaluation_as_large_as_the_quickstart_s_spills_nothing(
    fleet: Fleet, run_config: RunConfig, mini_questions: list[Question]
) -> None:
    """Prompts that all exist at once do spill: the store is no larger than what is needed."""
    many = [
        replace(question, id=f"{question.id} again {number}")
        for number in range(-(-400 // len(mini_questions)))
        for question in mini_questions
    ][:400]
    asking = Asking(
        loader=fleet.loader,
        rollouts=fleet.rollouts,
        samples=1,
        together=answered_together(run_config, shape_of(run_config.model.path)),
        temperatures=[1.0],
    )
    asked = many[:300]
    replies = list(fleet.background.iterate(asking.replies(asked, range(len(asked)))))
    assert {reply.question.id for reply in replies} == {question.id for question in asked}
    assert fleet.spilled_bytes() == 0

    # as much else as leaves room for half of these prompts
    prompts = fleet.background.run(fleet.loader.prepare_all(many[:1], (0,)))[0].size * len(many)
    store = store_gb(run_config, shape_of(run_config.model.path)) * GB
    held = [ray.put(np.empty(int(store) - prompts // 2, np.uint8))]
    held += fleet.background.run(fleet.loader.prepare_all(many, (0,)))
    assert fleet.spilled_bytes() > 0
    del held

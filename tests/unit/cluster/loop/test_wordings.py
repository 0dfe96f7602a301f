"""What a run asks for is what its loaders are told, its rewards pay for and its files say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import completion, run_config
from stand_ins import Pacing, PromptMaker, Sampler, Stage

from videothinker.config.loading import to_yaml
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.data.questions import write_questions
from videothinker.files import read_json, read_lines
from videothinker.method.prompts import direct_text, training_text
from videothinker.model.checkpoint import budget_of
from videothinker.run.answers import read_answers
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups
from videothinker.types import Question, RolloutGroup

THOUGHT, ALONE = "<think>x</think><answer>A</answer>", "<answer>A</answer>"
STEPS, PROMPTS, VALIDATED = 4, 2, 3


class Reading(PromptMaker):
    """A loader that keeps what it was to ask."""

    def __init__(self, texts: list[tuple[Question, str]]) -> None:
        self._texts = texts

    async def prepare(self, question: Question, text: str, view: str) -> Any:  # type: ignore[override]
        self._texts.append((question, text))
        return await super().prepare()


class Obeying(Sampler):
    """Thinks where it is asked to, or says always the same."""

    def __init__(self, text: str | None = None) -> None:
        super().__init__("rollout-0", Pacing(0.0))
        self._text = text

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        for index, (question, *_) in enumerate(prompts):
            said = self._text or (ALONE if question.wording == "direct" else THOUGHT)
            texts = [completion(said, version=version) for _ in range(samples)]
            yield index, builders.group(*texts, about=question)


def config(folder: Path, wording: str) -> RunConfig:
    asked = [
        builders.question(f"v{number}", category=("observational", "inferential")[number % 2])
        for number in range(VALIDATED)
    ]
    write_questions(folder / "validation.parquet", asked)
    stage = StageConfig(
        name="grpo",
        questions=folder / "questions.parquet",
        steps=STEPS,
        prompts_per_step=PROMPTS,
        validate_every=2,
        validate_questions=VALIDATED,
        guard=GuardConfig(action="off"),
    )
    return run_config(
        folder,
        stage,
        data={"videos": folder, "validation": folder / "validation.parquet"},
        prompts={"wording": wording},
    )


def trained(
    folder: Path, wording: str, text: str | None = None
) -> tuple[RunDirectory, list[tuple[Question, str]]]:
    """A run, and every text that its loader was told with its question."""
    told: list[tuple[Question, str]] = []
    engines: dict[str, Any] = {
        "loader": lambda _: Reading(told),
        "rollout": lambda _: Obeying(text),
    }
    with closing(Stage(config(folder, wording), **engines)) as run:
        return run.train(lambda *_: None), told


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [row for step in range(1, STEPS + 1) for row in read_groups(run.path, "grpo", step)]


@pytest.mark.parametrize(
    ("wording", "expected"),
    [
        ("training", ["training", "training"]),
        ("direct", ["direct", "direct"]),
        ("both", ["direct", "training"]),
    ],
)
def test_each_step_asks_in_the_runs_wordings_and_pays_for_what_it_asked(
    tmp_path: Path, wording: str, expected: list[str]
) -> None:
    run, told = trained(tmp_path, wording)
    for question, text in told:
        worded = direct_text if question.wording == "direct" else training_text
        assert text == worded(question)
    groups = rows(run)
    steps = [groups[place : place + PROMPTS] for place in range(0, STEPS * PROMPTS, PROMPTS)]
    assert [sorted(row["wording"] for row in step) for step in steps] == [expected] * STEPS
    for row in groups:
        assert set(row["completions"]) == {ALONE if row["wording"] == "direct" else THOUGHT}
        assert set(row["reward_format"]) == {1.0}


def test_what_was_not_asked_for_is_not_paid(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, "both", text=ALONE)
    paid = {row["wording"]: set(row["reward_format"]) for row in rows(run)}
    assert paid == {"training": {0.0}, "direct": {1.0}}


def test_a_run_in_two_wordings_asks_the_questions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    (tmp_path / "one").mkdir()
    one, both = (
        trained(tmp_path / name, wording)[0]
        for name, wording in (("one", "training"), ("both", "both"))
    )
    assert [row["prompt_id"] for row in rows(both)] == [row["prompt_id"] for row in rows(one)]


def test_validation_asks_in_both_and_keeps_their_results_apart(tmp_path: Path) -> None:
    run, told = trained(tmp_path, "both", text=ALONE)
    [line] = read_lines(run.path / "validation.jsonl")
    assert line["answered"] == 2 * VALIDATED
    assert (line["overall"]["n"], line["direct"]["overall"]["n"]) == (VALIDATED, VALIDATED)
    assert (line["format"]["mean"], line["direct"]["format"]["mean"]) == (0, 1)
    [step] = [one for one in read_lines(run.path / "metrics.jsonl") if "validated_overall" in one]
    assert step["validated_direct_inferential"] == step["validated_inferential"] == 1
    assert step["direct_accuracy"] == step["training_accuracy"] == 1
    asked = [(one.id, one.wording) for one, _ in told if one.id.startswith("v")]
    each = [(f"v{n}", wording) for n in range(3) for wording in ("training", "direct")]
    assert sorted(asked) == sorted(2 * each)  # before the first step, and once beside it


def test_one_wording_has_no_results_beside_its_own(tmp_path: Path) -> None:
    for wording in ("training", "direct"):
        (tmp_path / wording).mkdir()
        run, _ = trained(tmp_path / wording, wording)
        [line] = read_lines(run.path / "validation.jsonl")
        assert "direct" not in line
        assert line["format"]["mean"] == 1
        keys = {key for one in read_lines(run.path / "metrics.jsonl") for key in one}
        assert not {key for key in keys if "direct" in key or key == "training_accuracy"}


def test_a_models_answers_in_two_wordings_lie_side_by_side(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, "both")
    [base] = read_json(run.path / "summary.json")["models"]
    result, folder = base["evaluation"], run.stage("base")
    assert result["direct"]["overall"]["mean"] == result["overall"]["mean"] == 1
    for file, text in (("validation.parquet", THOUGHT), ("validation-direct.parquet", ALONE)):
        found = read_answers(folder, "sampled", file)
        assert {one.id: one.completion for one in found.values()} == dict.fromkeys(
            (f"v{number}" for number in range(VALIDATED)), text
        )


def test_a_model_says_what_it_was_asked_in(tmp_path: Path) -> None:
    settings = config(tmp_path, "direct")
    directory = RunDirectory.create(settings.out, to_yaml(settings))
    with closing(Stage(settings)) as run:
        lineage = run.session(directory).lineage
        assert lineage.of_model(settings.stages[0], 1)["wording"] == "direct"
    assert budget_of(settings).wording == "direct"


def test_a_question_is_the_same_in_either_wording() -> None:
    one = builders.question("q")
    assert repr(replace(one, wording="direct")) == repr(one)

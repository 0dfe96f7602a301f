"""A run that labels its questions by asking its own engines first: whole, interrupted, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.loop.kept import Answers
from cluster.train import run
from videothinker.config.loading import to_yaml
from videothinker.config.settings import PROBES, RunConfig
from videothinker.data.asked import to_probe
from videothinker.data.questions import read_questions
from videothinker.evaluation import shortcuts
from videothinker.files import file_digest, read_json, read_lines
from videothinker.run.directory import RunDirectory
from videothinker.types import Question

pytestmark = pytest.mark.timeout(900)

CHOSEN, VALIDATED, STEPS = 6, 4, 2
INTERRUPTED_AT = 20


def config_of(whole: RunConfig, folder: Path) -> RunConfig:
    """Two stages that draw from one file; the first takes what the probes call observational."""
    questions = whole.stages[1].questions
    changes = {"questions": questions, "limit": CHOSEN, "steps": STEPS, "prompts_per_step": 2}
    bias, cdpo = (stage.model_copy(update=changes) for stage in whole.stages)
    bias = bias.model_copy(update={"category": "observational"})
    data = whole.data.model_copy(update={"category": "probe", "validation_questions": VALIDATED})
    stages = tuple(one.model_copy(update={"validate_every": 0}) for one in (bias, cdpo))
    return whole.model_copy(update={"out": folder, "data": data, "stages": stages})


def test_a_run_labels_its_questions_before_its_first_stage_and_trains_on_what_it_found(
    run_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model answers like nobody, so who is right is said here: by half of the questions."""
    config = config_of(run_config, tmp_path / "run")
    asked = to_probe(config)
    assert {name: len(some) for name, some in asked.items()} == {"bias": CHOSEN, "base": VALIDATED}
    passing = {question.id for question in asked["bias"][::2]}

    def is_right(completion: str, question: Question) -> bool:
        return bool(completion) and question.id.partition("#")[0] in passing

    monkeypatch.setattr(shortcuts, "is_right", is_right)
    directory = RunDirectory.create(config.out, to_yaml(config))
    usual = Answers.add
    kept: list[str] = []

    def interrupted(answers: Answers, reply: Any) -> None:
        if len(kept) == INTERRUPTED_AT:
            raise KeyboardInterrupt
        usual(answers, reply)
        kept.append(reply.question.id)

    with monkeypatch.context() as patch:
        patch.setattr(Answers, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config, directory)
    assert not (config.out / "metrics.jsonl").exists()
    summary = run(config, RunDirectory.open(config.out))

    stages = config.out / "stages"
    for name, questions in asked.items():
        labelled = read_questions(stages / name / "probe" / "questions.parquet")
        assert [one.id for one in labelled] == [one.id for one in questions]
        found = {one.id for one in labelled if one.category == "observational"}
        assert found == passing & {one.id for one in questions}
        for probe in PROBES:  # each turn of each question once, in spite of the interruption
            lines = read_lines(stages / name / "probe" / "probes" / probe / "answers.jsonl")
            assert len({line["id"] for line in lines}) == len(lines) == 3 * len(questions)
    trained = {
        stage: {
            (row["prompt_id"], row["category"])
            for file in (config.out / "rollouts").glob(f"{stage}-*.parquet")
            for row in pq.read_table(file, columns=["prompt_id", "category"]).to_pylist()
        }
        for stage in ("bias", "cdpo")
    }
    assert trained["bias"] <= {(name, "observational") for name in passing}
    labels = {one.id: "inferential" for one in asked["bias"]}
    labels |= dict.fromkeys(passing, "observational")
    assert trained["cdpo"] <= set(labels.items())
    data = read_json(stages / "cdpo" / "model" / "lineage.json")["data"]
    labels_file = stages / "bias" / "probe" / "questions.parquet"
    assert data[1] == {"path": str(labels_file), "digest": file_digest(labels_file)}
    base = next(model for model in summary["models"] if model["name"] == "base")
    assert base["evaluation"]["observational"]["n"] == len(passing & {o.id for o in asked["base"]})

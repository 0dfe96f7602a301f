"""A whole run in two wordings under a ramp: what the engines were asked, what its model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from cluster.train import run
from cluster.verbs.evaluate import Evaluation
from videothinker.config.loading import to_yaml
from videothinker.config.prompts import PromptsConfig
from videothinker.config.settings import RunConfig
from videothinker.files import read_json, read_lines
from videothinker.method.prompts import direct_text, training_text
from videothinker.model.checkpoint import read_budget
from videothinker.run.answers import read_answers
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups
from videothinker.run.trying import question_of

pytestmark = pytest.mark.timeout(600)

STEPS = 3


def test_a_run_in_two_wordings_under_a_ramp(
    run_config: RunConfig, mini_base: Path, tmp_path: Path
) -> None:
    stage = run_config.stages[1]
    ramp = {"anchor": "base", "coefficient": 0.3, "schedule": "ramp", "schedule_steps": STEPS}
    kl = stage.kl.model_copy(update=ramp)
    changes = {"steps": STEPS, "prompts_per_step": 2, "kl": kl, "validate_every": 2}
    config = run_config.model_copy(
        update={
            "out": tmp_path / "run",
            "prompts": PromptsConfig(wording="both"),
            "stages": (stage.model_copy(update=changes),),
        }
    )
    summary = run(config, RunDirectory.create(config.out, to_yaml(config)))

    tokenizer = Tokenizer.from_file(str(mini_base / "tokenizer.json"))
    for step in range(1, STEPS + 1):
        groups = read_groups(config.out, "cdpo", step)
        assert sorted(row["wording"] for row in groups) == ["direct", "training"]
        tokens = {row["wording"]: around(row, tokenizer) for row in groups}
        assert tokens["direct"] == tokens["training"]  # video and template, the same for both
    lines = read_lines(config.out / "metrics.jsonl")
    assert [line["coefficient"] for line in lines] == pytest.approx([0.1, 0.2, 0.3])

    [base, trained] = summary["models"]
    for model in (base, trained):
        assert model["evaluation"]["direct"]["overall"]["n"] == 8
        for file in ("validation.parquet", "validation-direct.parquet"):
            answers = read_answers(config.out / "stages" / model["name"], "sampled", file)
            assert len(answers) == 8
    model = config.out / "stages" / "cdpo" / "model"
    assert read_budget(model).wording == read_json(model / "lineage.json")["wording"] == "both"
    asking = Evaluation(
        model=model, benchmark="clevrer", data=model, videos=model, out=tmp_path / "eval"
    )
    assert asking.resolved().wording == "training"


def around(row: dict[str, Any], tokenizer: Tokenizer) -> int:
    """Of a group's prompt, the tokens that are not of its text."""
    worded = {"training": training_text, "direct": direct_text}[row["wording"]]
    return int(row["prompt_tokens"]) - len(tokenizer.encode(worded(question_of(row))).ids)

"""Whole runs by processes that are started once: what is validated and paid by functions of the
user's, what labels its questions by asking its own engines first, and what asks in two wordings.

Those that are interrupted go on with the same engines; test_lora.py, test_sleep.py and
test_training.py have such as start all anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from same_engines import same_engines
from same_training import asked_order, largest_difference, untimed
from tokenizers import Tokenizer

from cluster.loop.kept import Answers
from cluster.train import run
from cluster.verbs.evaluate import Evaluation
from cluster.workers.learner import Learner
from videothinker.config.loading import to_yaml
from videothinker.config.prompts import PromptsConfig
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import PROBES, RunConfig
from videothinker.data.asked import to_probe
from videothinker.data.questions import read_questions
from videothinker.evaluation import shortcuts
from videothinker.files import file_digest, read_json, read_lines
from videothinker.method.prompts import direct_text, training_text
from videothinker.model.checkpoint import read_budget
from videothinker.run.answers import read_answers
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups
from videothinker.run.trying import question_of
from videothinker.types import Question

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def engines(run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Those of every run here."""
    with same_engines(run_config, tmp_path_factory.mktemp("engines") / "run"):
        yield


VALIDATED_STEPS, INTERRUPTED_AT = 6, 4
REWARDS = '''
import time


def spread(completion, question):
    """Something that differs within most groups."""
    return (sum(map(ord, completion)) % 97) / 97


def fragile(completions, question):
    print("{")
    if question.id == BROKEN:
        time.sleep(60)
    return [0.0] * len(completions)
'''


def config_paid(whole: RunConfig, folder: Path, rewards: Path, **stage: Any) -> RunConfig:
    """One stage, whose samples depend on nothing but its seed."""
    own = (
        RewardConfig(call=f"{rewards}:spread"),
        RewardConfig(call=f"{rewards}:fragile", seconds=5),
    )
    one = whole.stages[0].model_copy(update={"name": "grpo", "steps": VALIDATED_STEPS, **stage})
    rollout = whole.rollout.model_copy(update={"prompts_together": 2})
    changes = {"out": folder, "rewards": own, "rollout": rollout, "stages": (one,)}
    data = whole.data.model_copy(update={"max_skipped_share": 0.5})
    return whole.model_copy(update={**changes, "data": data})


def test_validation_changes_no_weight_and_a_reward_that_hangs_costs_its_group(
    run_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run is validated, and ended by Ctrl-C between two validations and resumed."""
    rewards = tmp_path / "rewards.py"
    plain = config_paid(run_config, tmp_path / "plain", rewards, validate_every=0)
    [*_, (broken, *_)] = asked_order(plain.stages[0].questions, plain.seed, 3, 4)
    rewards.write_text(REWARDS.replace("BROKEN", repr(broken)))
    wanted = {"validate_every": 2, "validate_questions": 6, "keep_best": "overall"}
    config = config_paid(run_config, tmp_path / "validated", rewards, **wanted)
    directory = RunDirectory.create(config.out, to_yaml(config))
    usual = Learner.step

    def interrupted(learner: Learner, step: int, *rest: Any) -> Any:
        if step == INTERRUPTED_AT:
            raise KeyboardInterrupt
        return usual(learner, step, *rest)

    run(plain, RunDirectory.create(plain.out, to_yaml(plain)))
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config, directory)
    summary = run(config, RunDirectory.open(config.out))

    assert not (plain.out / "validation.jsonl").exists()
    reasons = {line["reason"] for line in read_lines(plain.out / "skipped.jsonl")}
    assert reasons == {
        "reward rewards.py:fragile: took longer than 5 s for one group (its `seconds`)"
    }
    validated = untimed(config.out)
    for line in validated:
        for key in [key for key in line if key.startswith("validated_")]:
            assert line["step"] in (3, 5)
            del line[key]
    assert validated == untimed(plain.out)
    models = [out / "stages" / "grpo" / "model" for out in (plain.out, config.out)]
    assert largest_difference(*models) == 0
    lines = read_lines(config.out / "validation.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    assert {line["answered"] for line in lines} == {6}
    best = config.out / "stages" / "grpo" / "best"
    means = [line["overall"]["mean"] for line in lines]
    lineage = read_json(best / "lineage.json")
    assert lineage["steps"] == (2 if means[0] >= means[1] else 4)
    assert largest_difference(best, models[1]) > 0
    assert lineage["rewards"][0].startswith("rewards.py:spread (")
    assert summary["rewards"] == [lineage["rewards"]]


CHOSEN, ASKED, STOPPED_AT = 6, 4, 20


def config_probed(whole: RunConfig, folder: Path) -> RunConfig:
    """Two stages that draw from one file; the first takes what the probes call observational."""
    questions = whole.stages[1].questions
    changes = {"questions": questions, "limit": CHOSEN, "steps": 2, "prompts_per_step": 2}
    bias, cdpo = (stage.model_copy(update=changes) for stage in whole.stages)
    bias = bias.model_copy(update={"category": "observational"})
    data = whole.data.model_copy(update={"category": "probe", "validation_questions": ASKED})
    stages = tuple(one.model_copy(update={"validate_every": 0}) for one in (bias, cdpo))
    return whole.model_copy(update={"out": folder, "data": data, "stages": stages})


def test_a_run_labels_its_questions_before_its_first_stage_and_trains_on_what_it_found(
    run_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model answers like nobody, so who is right is said here: by half of the questions."""
    config = config_probed(run_config, tmp_path / "run")
    asked = to_probe(config)
    assert {name: len(some) for name, some in asked.items()} == {"bias": CHOSEN, "base": ASKED}
    passing = {question.id for question in asked["bias"][::2]}

    def is_right(completion: str, question: Question) -> bool:
        return bool(completion) and question.id.partition("#")[0] in passing

    monkeypatch.setattr(shortcuts, "is_right", is_right)
    directory = RunDirectory.create(config.out, to_yaml(config))
    usual = Answers.add
    kept: list[str] = []

    def interrupted(answers: Answers, reply: Any) -> None:
        if len(kept) == STOPPED_AT:
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


RAMP = 3
"""Steps."""


def test_a_run_in_two_wordings_under_a_ramp(
    run_config: RunConfig, mini_base: Path, tmp_path: Path
) -> None:
    stage = run_config.stages[1]
    ramp = {"anchor": "base", "coefficient": 0.3, "schedule": "ramp", "schedule_steps": RAMP}
    kl = stage.kl.model_copy(update=ramp)
    changes = {"steps": RAMP, "prompts_per_step": 2, "kl": kl, "validate_every": 2}
    config = run_config.model_copy(
        update={
            "out": tmp_path / "run",
            "prompts": PromptsConfig(wording="both"),
            "stages": (stage.model_copy(update=changes),),
        }
    )
    summary = run(config, RunDirectory.create(config.out, to_yaml(config)))

    tokenizer = Tokenizer.from_file(str(mini_base / "tokenizer.json"))
    for step in range(1, RAMP + 1):
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

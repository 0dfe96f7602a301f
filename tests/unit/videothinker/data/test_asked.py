"""What a run asks: chosen by limit and category, labelled by its files or by its probes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from smallest_config import SMALLEST

from videothinker.config.draw import DrawConfig
from videothinker.config.loading import load_config
from videothinker.config.prompts import PromptsConfig
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.asked import (
    labels_of,
    probed,
    stage_questions,
    stage_weights,
    to_probe,
    unfit_draws,
    validation_questions,
    whole_views,
)
from videothinker.data.questions import write_questions
from videothinker.data.stream import select
from videothinker.errors import InputError
from videothinker.types import Question

QUESTIONS = [
    Question(
        id=str(number),
        video="v.mp4",
        text="?",
        options=(("A", "x"), ("B", "y")),
        answer="A",
        category=("observational", "sports")[number % 2],
    )
    for number in range(10)
]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Two stages that draw from the same file, and validation questions."""
    write_questions(tmp_path / "questions.parquet", QUESTIONS)
    write_questions(tmp_path / "validation.parquet", QUESTIONS[:5])
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    here = f"questions: {tmp_path / 'questions.parquet'}"
    stages = f"[{{name: bias, {here}, limit: 4, steps: 60}}, {{name: all, {here}, steps: 60}}]"
    validation = f"data.validation={tmp_path / 'validation.parquet'}"
    return load_config(file, [f"stages={stages}", validation, "data.validation_questions=2"])


def of_category(config: RunConfig, category: str | None) -> RunConfig:
    first = config.stages[0].model_copy(update={"category": category})
    return config.model_copy(update={"stages": (first, *config.stages[1:])})


def by_probe(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update={"category": "probe"})})


def test_category_chooses_from_what_limit_has_drawn(config: RunConfig, tmp_path: Path) -> None:
    drawn = select(QUESTIONS, 4, config.seed)
    assert stage_questions(config, tmp_path, config.stages[0]) == drawn
    chosen = of_category(config, "sports")
    wanted = [one for one in drawn if one.category == "sports"]
    assert 0 < len(wanted) < 4
    assert stage_questions(chosen, tmp_path, chosen.stages[0]) == wanted


def test_a_category_that_nothing_has_is_told(config: RunConfig, tmp_path: Path) -> None:
    chosen = of_category(config, "inferential")
    with pytest.raises(InputError, match=r"stages\.0\.category: of 4 questions none is inferent"):
        stage_questions(chosen, tmp_path, chosen.stages[0])


def test_nothing_is_probed_unless_it_is_asked_for(config: RunConfig, tmp_path: Path) -> None:
    assert to_probe(config) == {}
    assert labels_of(config, tmp_path, config.stages[0]) is None


def test_a_file_is_probed_once_for_all_its_stages(config: RunConfig) -> None:
    """All of it, because one of the stages takes all; validation as far as it is ever asked."""
    assert to_probe(by_probe(config)) == {"bias": QUESTIONS, "base": QUESTIONS[:5]}
    less = [one.model_copy(update={"limit": 4, "validate_every": 0}) for one in config.stages]
    less[1] = less[1].model_copy(update={"limit": 6})
    smaller = by_probe(config.model_copy(update={"stages": tuple(less)}))
    assert to_probe(smaller) == {"bias": select(QUESTIONS, 6, config.seed), "base": QUESTIONS[:2]}
    assert set(select(QUESTIONS, 4, config.seed)) <= set(to_probe(smaller)["bias"])


def test_what_probes_found_stands_in_the_place_of_what_the_file_says(
    config: RunConfig, tmp_path: Path
) -> None:
    probing = by_probe(of_category(config, "inferential"))
    for name, questions in to_probe(probing).items():
        found = [replace(one, category="inferential") for one in questions]
        found[0] = replace(found[0], category="observational")
        write_questions(probed(tmp_path, name) / "questions.parquet", found)
    drawn = select(QUESTIONS, 4, config.seed)
    chosen = stage_questions(probing, tmp_path, probing.stages[0])
    assert [one.id for one in chosen] == [one.id for one in drawn if one.id != "0"]
    assert {one.category for one in chosen} == {"inferential"}
    validated = validation_questions(probing, tmp_path, 3)
    assert [one.category for one in validated] == ["observational", "inferential", "inferential"]


def test_validation_asks_in_each_wording_of_the_run(config: RunConfig, tmp_path: Path) -> None:
    for wording, each in (
        ("training", ["training"]),
        ("direct", ["direct"]),
        ("both", ["training", "direct"]),
    ):
        asking = config.model_copy(
            update={"prompts": PromptsConfig.model_validate({"wording": wording})}
        )
        found = validation_questions(asking, tmp_path, 2)
        assert [(one.id, one.wording) for one in found] == [
            (question.id, one) for one in each for question in QUESTIONS[:2]
        ]


PICTURE, WORDS = replace(QUESTIONS[0], video="p.png"), replace(QUESTIONS[0], video="")


@pytest.mark.parametrize(
    ("view", "asked", "said"),
    [
        ("blind", [WORDS], "shows anything, so the anchor would see all of each. Leave it out, or"),
        ("masked", [WORDS], "shows anything"),
        (
            "frame",
            [PICTURE, WORDS],
            "shows a video, so the anchor would see all of each. Use blind",
        ),
        ("shuffled", [PICTURE], "shows a video"),
        ("video", [WORDS], ""),
        ("blind", [WORDS, PICTURE], ""),
        ("frame", [PICTURE, QUESTIONS[0]], ""),
        ("frame", [replace(PICTURE, also=("v.mp4",))], ""),
    ],
)
def test_a_view_takes_something_of_some_question(
    config: RunConfig, view: str, asked: list[Question], said: str
) -> None:
    kl = {"direction": "repel", "anchor": "base", "anchor_view": view}
    stages = [config.stages[0], StageConfig(name="all", questions="q.parquet", kl=kl)]
    config = config.model_copy(update={"stages": tuple(stages)})
    for file in (config.stages[1].questions, Path("other.parquet")):
        lines = list(whole_views(config, file, asked))
        assert len(lines) == bool(said and file == config.stages[1].questions)
        assert all(f"stages.1.kl.anchor_view = {view!r}: no question" in line for line in lines)
        assert all(said in line for line in lines)


def by_column(config: RunConfig, weights: list[float], category: str | None) -> RunConfig:
    """The first stage draws by weights that its file then has."""
    weighed = [replace(one, weight=w) for one, w in zip(QUESTIONS, weights, strict=True)]
    write_questions(config.stages[0].questions, weighed)
    first = config.stages[0].model_copy(
        update={"draw": DrawConfig(by="column"), "category": category, "limit": None}
    )
    return config.model_copy(update={"stages": (first, *config.stages[1:])})


def test_weights_are_those_of_the_questions_that_a_stage_asks(
    config: RunConfig, tmp_path: Path
) -> None:
    weighing = by_column(config, [float(n) for n in range(10)], "sports")
    asked = stage_questions(weighing, tmp_path, weighing.stages[0])
    assert stage_weights(weighing, weighing.stages[0], asked) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert list(unfit_draws(weighing, weighing.stages[0].questions, QUESTIONS)) == []


def test_a_stage_none_of_whose_questions_has_a_weight_is_told(config: RunConfig) -> None:
    file = config.stages[0].questions
    alternating = [float(n % 2 == 0) for n in range(10)]
    weighing = by_column(config, alternating, "sports")
    [said] = unfit_draws(weighing, file, QUESTIONS)
    assert said.startswith(f"{file}: column 'weight' is 0 for all 5 questions of stages.0, so none")
    assert list(unfit_draws(by_probe(weighing), file, QUESTIONS)) == [], "that is not known yet"
    assert list(unfit_draws(by_column(config, alternating, None), file, QUESTIONS)) == []

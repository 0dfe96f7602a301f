"""How CLEVRER words its counterfactual questions, and what is left without the removal."""

import pytest

from videothinker.data.clevrer.prepare import without_clause
from videothinker.data.clevrer.records import Choice, Counterfactual, read_parts, read_question
from videothinker.errors import InputError
from videothinker.mini.settings import PHRASINGS

CORES = [
    f"{core} will {word}happen"
    for core in ("What", "Which event", "Which of the following")
    for word in ("", "not ")
]


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    "wording",
    [
        "{core} if the red metal cube is removed?",
        "{core} without the red metal cube?",
        "If the red metal cube is removed, {lower}?",
        "Without the red metal cube, {lower}?",
    ],
)
def test_every_wording_of_clevrer_loses_its_removal_and_nothing_else(
    wording: str, core: str
) -> None:
    lower = core[0].lower() + core[1:]
    text = wording.format(core=core, lower=lower)
    assert without_clause(text) == f"{core}?"
    assert read_parts(text).removed == "red metal cube"
    assert read_parts(text).negated == ("not" in core)


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_every_phrasing_of_the_mini_world_is_read(phrasing: str) -> None:
    negated = phrasing.replace("will happen", "will not happen")
    for form, is_negated in ((phrasing, False), (negated, True)):
        text = form.format("red cube")
        assert read_parts(text).removed == "red cube"
        assert read_parts(text).negated == is_negated
        assert without_clause(text) in [f"{c}?" for c in CORES if ("not" in c) == is_negated]


@pytest.mark.parametrize(
    "question",
    [
        "What will happen?",
        "What will happen next?",
        "What would happen without the red cube?",
        "What will happen without the red cube? Say why.",
        "If the red cube is removed what will happen?",
        "If the red cube is added, what will happen?",
        "",
    ],
)
def test_any_other_wording_is_refused_and_not_copied(question: str) -> None:
    with pytest.raises(InputError, match="is not CLEVRER's wording"):
        without_clause(question)


def test_both_wordings_of_a_collision_name_its_objects() -> None:
    options = ["The red cube and the sphere collide", "The red cube collides with the sphere."]
    choices = [Choice(choice=text, answer="wrong") for text in options]
    asked = read_question(
        Counterfactual(question="What will happen without the cylinder?", choices=choices)
    )
    assert [option.objects for option in asked.options] == [("red cube", "sphere")] * 2

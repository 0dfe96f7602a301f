"""Answers in 79 forms to 250 questions a benchmark count as in the benchmark's own script."""

from dataclasses import replace
from pathlib import Path

import pytest
from answer_forms import FORMS, SCRIPTS, multi_choice, ours, questions_of, table, written

PAGE = Path(__file__).parents[4] / "docs" / "scoring.md"


def test_there_are_79_forms() -> None:
    assert len(FORMS) == len(set(FORMS)) == 79


@pytest.mark.parametrize("benchmark", SCRIPTS)
def test_an_answer_counts_as_in_the_benchmark_s_own_script(benchmark: str) -> None:
    alike, told = 0, []
    for question in questions_of(benchmark):
        for form in FORMS:
            said = written(form, question)
            theirs = SCRIPTS[benchmark](said, question)
            if theirs is None:
                continue
            same = ours(benchmark, said, question) is theirs
            alike += same
            told += [] if same else [said]
    share = alike / (alike + len(told))
    assert share == 1.0, (share, told[:5])


def test_what_tempcompass_decides_by_its_rules_is_decided_alike() -> None:
    decided = 0
    for question in questions_of("videomme"):
        asked = replace(question, category="multi-choice/action")
        for form in FORMS:
            said = written(form, asked)
            theirs = multi_choice(said, asked)
            if theirs is not None:
                decided += 1
                assert ours("tempcompass", said, asked) is theirs, said
    assert decided > 1400


@pytest.mark.parametrize("form", FORMS)
def test_mmvu_s_letter_is_found_in_every_form_that_has_one(form: str) -> None:
    for question in questions_of("mmvu"):
        said = written(form, question)
        right = ours("mmvu", said, question)
        assert right is ("{" in form and form != "answer: {l}"), said
        others = [letter for letter, _ in question.options if letter != question.answer]
        assert not any(ours("mmvu", said, replace(question, answer=one)) for one in others)


def test_the_docs_have_the_table_as_it_is() -> None:
    assert table() in PAGE.read_text()

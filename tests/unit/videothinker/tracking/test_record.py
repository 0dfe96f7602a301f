import time
from pathlib import Path

import pytest
from tracked_runs import models, new_run, steps

from videothinker.files import read_json
from videothinker.run.directory import RunDirectory
from videothinker.tracking.record import Growing, StepNumbers, Told, models_of, scalars


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path)


class Listener:
    """Hears of a run as a tracker's process does."""

    def __init__(self, run: RunDirectory, file: Path | None = None) -> None:
        self.run, self.told = run, Told(file)
        self.lines = Growing(run.path / "metrics.jsonl")

    def hear(self) -> list[StepNumbers]:
        summary = read_json(self.run.path / "summary.json")
        return list(self.told.news(self.lines.lines(), models_of(summary)))


def places(entries: list[StepNumbers]) -> list[tuple[str, int, bool]]:
    return [(entry.stage, entry.step, entry.again) for entry in entries]


def test_a_line_is_news_once(run: RunDirectory) -> None:
    listener = Listener(run)
    assert listener.hear() == []
    steps(run, "bias", [1, 2])
    assert places(listener.hear()) == [("bias", 1, False), ("bias", 2, False)]
    assert listener.hear() == []
    steps(run, "bias", [3])
    steps(run, "cdpo", [1])
    assert places(listener.hear()) == [("bias", 3, False), ("cdpo", 1, False)]


def test_half_a_line_waits_for_its_other_half(run: RunDirectory) -> None:
    listener, file = Listener(run), run.path / "metrics.jsonl"
    file.write_text('{"stage": "bias", "st')
    assert listener.hear() == []
    with file.open("a") as more:
        more.write('ep": 7}\n')
    assert places(listener.hear()) == [("bias", 7, False)]


def test_a_step_made_again_is_told_again_and_said_to_be(run: RunDirectory) -> None:
    listener = Listener(run)
    steps(run, "bias", [1, 2, 3])
    listener.hear()
    run.forget_after("bias", 1)
    assert listener.hear() == []
    steps(run, "bias", [2, 3, 4], scale=4)
    again = listener.hear()
    assert places(again) == [("bias", 2, True), ("bias", 3, False), ("bias", 4, False)]
    assert [entry.numbers["reward"] for entry in again] == [0.5, 0.75, 1.0]


def test_a_step_made_again_between_two_looks_is_not_missed(run: RunDirectory) -> None:
    listener = Listener(run)
    steps(run, "bias", [1, 2])
    listener.hear()
    run.forget_after("bias", 1)
    steps(run, "bias", [2])
    assert places(listener.hear()) == [("bias", 2, True)]


def test_nor_where_the_clock_was_set_back(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, right = Listener(run), time.time
    steps(run, "bias", [1, 2, 3])
    listener.hear()
    monkeypatch.setattr(time, "time", lambda: right() - 3600)
    resumed = RunDirectory.open(run.path)
    resumed.forget_after("bias", 1)
    steps(resumed, "bias", [2, 3])
    assert places(listener.hear()) == [("bias", 2, True), ("bias", 3, False)]


def test_another_process_goes_on_after_what_was_told(run: RunDirectory, tmp_path: Path) -> None:
    first = Listener(run, tmp_path / "told.json")
    first.told.id = "abc"
    steps(run, "bias", [1, 2])
    models(run, base=0.25)
    first.hear()
    first.told.save()
    steps(run, "bias", [3])
    models(run, base=0.25, bias=0.5)
    second = Listener(run, tmp_path / "told.json")
    assert second.told.id == "abc"
    assert places(second.hear()) == [("bias", 3, False), ("bias", 3, False)]


def test_what_was_not_taken_is_news_again(run: RunDirectory) -> None:
    told, lines = Told(), [{"stage": "bias", "step": 1, "time": 5.0}]
    next(told.news(lines, []))
    assert [entry.step for entry in told.news(lines, [])] == [1]


def test_a_model_s_results_stand_at_the_last_step_of_its_stage(run: RunDirectory) -> None:
    steps(run, "bias", [1, 2])
    models(run, base=0.25, bias=0.5)
    *_, base, bias = Listener(run).hear()
    assert (base.stage, base.step, dict(base.numbers)) == (
        "base",
        0,
        {"results/overall/mean": 0.25},
    )
    assert (bias.stage, bias.step, bias.again) == ("bias", 2, False)


def test_a_model_without_results_is_no_news(run: RunDirectory) -> None:
    run.summary({"models": [{"name": "base", "evaluation": None}]})
    assert Listener(run).hear() == []


def test_numbers_are_the_finite_ones_by_name() -> None:
    line = {
        "stage": "bias", "step": 1, "time": 2.0, "reward": 0.5, "kl": None, "loss": float("inf"),
        "guard": {"action": "stop"}, "seconds": {"learn": 2}, "roles": {"learner": {"mfu": 0.25}},
    }  # fmt: skip
    assert scalars(line) == {"reward": 0.5, "seconds/learn": 2.0, "learner/mfu": 0.25}

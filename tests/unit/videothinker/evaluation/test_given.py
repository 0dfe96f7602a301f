"""Answers that exist already, in the toolkits' own layouts."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from videothinker.cli.main import main
from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.loading import read
from videothinker.evaluation.given import completions_of

CHOICES = {"A": "drag", "B": "lift", "C": "thrust", "D": "weight", "E": "none"}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """MMVU's release: the second of three questions is open-ended, so ours are 0 and 2 of it."""
    rows = [
        {
            "id": f"validation_{number}",
            "video": f"https://host/resolve/main/videos/Art/{number}.mp4",
            "question_type": "open-ended" if number == 1 else "multiple-choice",
            "metadata": {"subject": "Art"},
            "question": f"Which force acts on body {number}?",
            "choices": CHOICES,
            "answer": "ABC"[number],
        }
        for number in range(3)
    ]
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(rows))
    return path


def sample(number: int, said: str, target: str, **changed: Any) -> dict[str, Any]:
    """A line of lmms-eval's *_samples_*.jsonl, after what its tracker takes out of it."""
    return {
        "doc_id": number,
        "target": target,
        "filtered_resps": said,
        "doc_hash": "x",
        "input": "What?",
        "accuracy": {"id": number, "correct": True},
        **changed,
    }


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def told(release: Path, path: Path) -> list[str]:
    loaded = read("mmvu", release)
    return completions_of(path, loaded.questions, loaded.places)


def test_lmms_eval_s_samples_are_told_by_their_places(release: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path / "0_samples_mmvu_val.jsonl",
        sample(2, "C", "C", resps=["<think>x</think>C"]),
        sample(1, "lift", "lift"),
        sample(0, "A. drag", "A. drag"),
    )
    assert told(release, path) == ["A. drag", "<think>x</think>C"]


@pytest.mark.parametrize("suffix", ["tsv", "json"])
def test_vlmevalkit_s_predictions_are_told_by_their_places(
    release: Path, tmp_path: Path, suffix: str
) -> None:
    rows = [
        {"index": n, "question": f"Which force acts on body {n}?", "answer": x, "prediction": said}
        for n, x, said in ((0, "A", "A\nbecause"), (1, "lift", "lift"), (2, "C", "B"))
    ]
    path = tmp_path / f"model_MMVU.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    assert told(release, path) == ["A\nbecause", "B"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (sample(0, "A", "C"), "line 1: its target 'C' is not the answer at that place"),
        (sample(3, "A", "A"), "line 1: doc_id: there is no record 3 in --data"),
        (sample(0, "A", "A", filtered_resps=[3]), "line 1: resps: "),
        (sample(0, "A", "A", doc_id=-1), "line 1: doc_id: there is no record -1 in --data"),
        (sample(0, "A", "A", doc_id="x"), "line 1: doc_id: 'x' is not a place"),
        ({"index": 0, "question": "Why?", "prediction": "A"}, "line 1: its question 'Why"),
        ({"answer": "A"}, "line 1: expected one .* lmms-eval's samples"),
        (sample(0, "A", "A"), "1 of 2 questions have no answer, the first is validation_2"),
    ],
)
def test_what_is_of_another_file_is_refused(
    release: Path, tmp_path: Path, line: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        told(release, write(tmp_path / "a.jsonl", line))


def test_the_verb_scores_them(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "s.jsonl", sample(0, "$A$", "A"), sample(2, "B", "C"))
    words = ["score", "--benchmark", "mmvu", "--data", str(release), "--answers", str(path)]
    assert main([*words, "--scoring", "official"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5


def test_a_file_that_holds_no_list_is_refused(release: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("3")
    with pytest.raises(InputError, match=r"a\.json: expected one "):
        told(release, tmp_path / "a.json")

"""Files of one's own, in whatever layout: read, or refused with line, field and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.data.own.prepare import look, prepare, reading
from videothinker.data.questions import read_questions
from videothinker.errors import ConfigError, InputError
from videothinker.types import AnswerKind, Question

PLAIN: dict[str, Any] = {
    "question": "Which colour?",
    "options": ["red", "blue"],
    "answer": "B",
    "video": "a.mp4",
}
R1: list[dict[str, Any]] = [
    {
        "problem_id": number,
        "problem": "How many persons are there?",
        "data_type": "video",
        "problem_type": kind,
        "options": options,
        "process": "",
        "solution": f"<answer>{answer}</answer>",
        "path": "./source/academic/a.mp4",
        "data_source": "source",
    }
    for number, (kind, options, answer) in enumerate(
        [
            ("multiple choice", ["A. one", "B. two", "C. three"], "B"),
            ("numerical", [], "4"),
            ("regression", [], "3.5"),
            ("free-form", [], "a man and a woman"),
            ("OCR", [], "STOP"),
        ]
    )
]
TALKS: list[dict[str, Any]] = [
    {
        "id": f"t{number}",
        "video": "a.mp4",
        "conversations": [
            {"from": "human", "value": f"<video>\n{asked}"},
            {"from": "gpt", "value": answer},
        ],
    }
    for number, (asked, answer) in enumerate(
        [
            ("What?\nA. this\nB. that\nAnswer with the option's letter.", "B"),
            ("What?\n(A) this\n(B) that", "(A) this"),
            ("Is it raining?", "No"),
            ("How many?", "3"),
            ("What is said?", "Nothing at all."),
        ]
    )
]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    return folder


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepared(
    source: Path, videos: Path, kind: AnswerKind | None = None, **called: str
) -> list[Question]:
    out = source.parent / "out"
    prepare(reading(source, videos, called, kind), out)  # type: ignore[arg-type]
    return read_questions(out / "questions.parquet")


def refusal(source: Path, videos: Path) -> str:
    with pytest.raises(InputError) as refused:
        prepare(reading(source, videos, {}), source.parent / "out")
    assert not (source.parent / "out").exists()
    return str(refused.value)


def test_a_line_becomes_a_question(tmp_path: Path, videos: Path) -> None:
    more = {"id": "x", "category": "observational", "start": 1, "end": "2.5"}
    [one] = prepared(lines(tmp_path / "q.jsonl", [PLAIN | more]), videos)
    assert one == Question(
        id="x",
        video="a.mp4",
        text="Which colour?",
        options=(("A", "red"), ("B", "blue")),
        answer="B",
        category="observational",
        start=1.0,
        end=2.5,
        kind="choice",
    )


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        (["A. red", "B. blue"], "B. blue", "B"),
        (["A) red", "B) blue"], "(B)", "B"),
        ({"A": "red", "B": "blue"}, "blue", "B"),
        ([{"letter": "A", "text": "red"}, {"letter": "B", "text": "blue"}], "Blue", "B"),
        ('["red", "blue"]', "B", "B"),
        ("red|blue", "<answer>B</answer>", "B"),
        (["red", "blue"], 1, "B"),
        (["red", "blue"], "B, A", "A,B"),
        (["red", "blue"], ["red", "blue"], "A,B"),
        ([3, 4], "4", "B"),
        (["A cat", "B-side"], "B", "B"),
        (["B", "A"], "B", "B"),
        ({"0": "red", "1": "blue"}, "blue", "B"),
    ],
)
def test_options_and_answers_are_read_in_many_forms(
    tmp_path: Path, videos: Path, options: Any, answer: Any, right: str
) -> None:
    row = PLAIN | {"options": options, "answer": answer}
    [one] = prepared(lines(tmp_path / "q.jsonl", [row]), videos)
    assert (one.answer, one.kind) == (right, "multi" if "," in right else "choice")
    assert [letter for letter, _ in one.options] == ["A", "B"]
    assert not any(text.startswith(("A.", "B.", "A)", "B)")) for _, text in one.options)


@pytest.mark.parametrize("options", [["B. red", "A. blue"], ["A. red", "C. blue"], ["A. x", "y"]])
def test_letters_that_are_not_those_of_all_options_in_order_are_words(
    tmp_path: Path, videos: Path, options: list[str]
) -> None:
    row = PLAIN | {"options": options, "answer": "A"}
    [one] = prepared(lines(tmp_path / "q.jsonl", [row]), videos)
    assert one.options == tuple(zip("AB", options, strict=True))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("yes", "yes_no"), (True, "yes_no"), (12, "number"), ("3.5 %", "number"), ("a car", "text")],
)
def test_without_options_an_answer_is_what_it_looks_like(
    tmp_path: Path, videos: Path, answer: Any, kind: str
) -> None:
    row = {name: value for name, value in PLAIN.items() if name != "options"} | {"answer": answer}
    [one] = prepared(lines(tmp_path / "q.jsonl", [row]), videos)
    assert one.kind == kind


def test_what_an_answer_is_can_be_said(tmp_path: Path, videos: Path) -> None:
    row = {"question": "When?", "video": "a.mp4", "answer": "1.5-4"}
    [one] = prepared(lines(tmp_path / "q.jsonl", [row]), videos, kind="span")
    assert one.kind == "span"
    [one] = prepared(lines(tmp_path / "r.jsonl", [row | {"kind": "span"}]), videos)
    assert one.kind == "span"


def test_fields_may_be_called_otherwise(tmp_path: Path, videos: Path) -> None:
    row = {"q": "Which colour?", "video": "a.mp4", "answer": "red", "ask": "no"}
    [one] = prepared(lines(tmp_path / "q.jsonl", [row]), videos, question="q")
    assert one.text == "Which colour?"


def test_the_layout_of_video_r1_is_read(tmp_path: Path, videos: Path) -> None:
    found = prepared(lines(tmp_path / "q.jsonl", R1), videos)
    assert [one.kind for one in found] == ["choice", "number", "number", "text", "text"]
    assert [one.answer for one in found] == ["B", "4", "3.5", "a man and a woman", "STOP"]
    assert found[0].options == (("A", "one"), ("B", "two"), ("C", "three"))
    assert {one.id for one in found} == {"0", "1", "2", "3", "4"}


def test_the_layout_of_conversations_is_read(tmp_path: Path, videos: Path) -> None:
    found = prepared(lines(tmp_path / "q.jsonl", TALKS), videos)
    assert [one.text for one in found[:3]] == ["What?", "What?", "Is it raining?"]
    assert [one.options for one in found[:2]] == [(("A", "this"), ("B", "that"))] * 2
    assert [one.answer for one in found] == ["B", "A", "No", "3", "Nothing at all."]
    assert [one.kind for one in found] == ["choice", "choice", "yes_no", "number", "text"]


def test_each_exchange_of_a_talk_is_a_question(tmp_path: Path, videos: Path) -> None:
    talk = {
        "id": "t",
        "video": "a.mp4",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Who?"}]},
            {"role": "assistant", "content": "A man"},
            {"role": "user", "content": "Is he old?"},
            {"role": "assistant", "content": "yes"},
        ],
    }
    found = prepared(lines(tmp_path / "q.jsonl", [talk]), videos)
    assert [(one.id, one.text, one.answer) for one in found] == [
        ("t", "Who?", "A man"),
        ("t/1", "Is he old?", "yes"),
    ]


@pytest.mark.parametrize("suffix", [".json", ".csv", ".tsv", ".parquet", ".arrow"])
def test_every_kind_of_file_gives_the_same_questions(
    tmp_path: Path, videos: Path, suffix: str
) -> None:
    rows = [
        PLAIN | {"id": "x", "options": "red|blue", "weight": 2.0},
        PLAIN | {"id": "y", "options": "red|blue", "weight": 0.5},
    ]
    file = tmp_path / f"q{suffix}"
    if suffix == ".json":
        file.write_text(json.dumps(rows))
    elif suffix in (".csv", ".tsv"):
        mark = "," if suffix == ".csv" else "\t"
        table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        file.write_text("".join(mark.join(cells) + "\n" for cells in table))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    found = prepared(file, videos)
    assert [one.weight for one in found] == [2.0, 0.5]
    assert found == prepared(lines(tmp_path / "r.jsonl", rows), videos)


def test_a_weight_may_have_another_name_and_is_never_negative(tmp_path: Path, videos: Path) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN | {"hardness": 3}])
    assert [one.weight for one in prepared(source, videos, weight="hardness")] == [3.0]
    assert "line 1: weight: -1 is not a number from 0" in refusal(
        lines(videos / "q.jsonl", [PLAIN | {"weight": -1}]), videos
    )


def test_a_row_may_show_videos_pictures_or_nothing(tmp_path: Path, videos: Path) -> None:
    (videos / "p.png").touch()
    rows = [
        PLAIN | {"video": ["b.mp4", {"path": "./a.mp4"}]},
        {name: value for name, value in PLAIN.items() if name != "video"} | {"image": "p.png"},
        PLAIN | {"images": ["p.png", "p.png"]},
        PLAIN | {"video": "", "question": "<image>What is 6 times 7?"},
    ]
    shown = prepared(lines(tmp_path / "q.jsonl", rows), videos)
    assert [one.shows for one in shown] == [
        ("b.mp4", "a.mp4"),
        ("p.png",),
        ("a.mp4", "p.png", "p.png"),
        (),
    ]
    assert shown[3].text == "What is 6 times 7?"
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["videos"] == 3


def test_a_folder_of_several_splits_is_refused(tmp_path: Path, videos: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "saved" / split).mkdir(parents=True)
        lines(tmp_path / "saved" / split / "q.jsonl", [PLAIN])
    with pytest.raises(InputError, match=r"saved: has test and train in it, .*: \S*saved/test$"):
        prepared(tmp_path / "saved", videos)
    assert len(prepared(tmp_path / "saved" / "train", videos)) == 1


def test_a_folder_of_files_is_read_in_order(tmp_path: Path, videos: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for number in (1, 0):
        table = pa.Table.from_pylist([PLAIN | {"id": str(number)}])
        pq.write_table(table, folder / f"part-{number}.parquet")
    assert [one.id for one in prepared(folder, videos)] == ["0", "1"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": "C"}, "answer: 'C' is not among the options A, B"),
        ({"answer": None}, "answer: none of the fields answer, solution"),
        ({"video": "c.mp4"}, "video: no file c.mp4 in"),
        ({"video": "../a.mp4"}, "video: ../a.mp4 leads out of"),
        (
            {"video": None},
            "video: none of the fields video, video_path, path, videos, images, image",
        ),
        ({"video": None, "image": "a.png"}, "video: no file a.png in"),
        ({"video": ["a.mp4"] * 17}, "video: shows 17 at once, and 16 is the most"),
        ({"video": 3}, "video: 3 is no path of a file"),
        ({"question": " "}, "question: ' ' is not a text"),
        ({"options": 3}, "options: 3 is no list"),
        ({"start": 3, "end": 1}, "end: 1.0 s is not after the start"),
        ({"video": "", "end": 1}, "start: has no effect, since no video is shown first"),
        ({"start": "soon"}, "start: 'soon' is not a number"),
        ({"options": None, "kind": "riddle"}, "kind: 'riddle' is none of choice"),
        ({"options": None, "kind": "number", "answer": "many"}, "answer: 'many' is not what a nu"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_field(
    tmp_path: Path, videos: Path, row: dict[str, Any], said: str
) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN, PLAIN | row])
    assert f"{source}: line 2: {said}" in refusal(source, videos)


def test_all_that_is_wrong_is_told_at_once_and_a_torn_line_among_it(
    tmp_path: Path, videos: Path
) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN | {"answer": "C"}, PLAIN | {"id": 1}])
    with source.open("a") as file:
        file.write(json.dumps(PLAIN | {"id": 1}) + '\n{"question": "Wh')
    said = refusal(source, videos).splitlines()
    assert said[0] == f"{source}: 3 rows cannot be used:"
    assert said[1] == f"  - {source}: line 1: answer: 'C' is not among the options A, B"
    assert said[2] == f"  - {source}: line 3: id: '1' was used before, at {source}: line 2"
    assert said[3].startswith(f"  - {source}: line 4: not JSON")
    assert said[3].endswith("the file may have been cut off there")
    assert "--leave-out" in said[4]


def test_rows_can_be_left_out_and_are_listed(tmp_path: Path, videos: Path) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN | {"answer": "C"}, PLAIN])
    stats = prepare(reading(source, videos, {}), tmp_path / "out", leave_out=True)
    assert (stats["questions"], stats["left_out"]) == (1, 1)
    [line] = (tmp_path / "out/left_out.jsonl").read_text().splitlines()
    assert "line 1: answer" in json.loads(line)["reason"]


def test_a_file_of_which_nothing_is_left_is_refused(tmp_path: Path, videos: Path) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN | {"answer": "C"}])
    with pytest.raises(ConfigError, match="no question is left"):
        prepare(reading(source, videos, {}), tmp_path / "out", leave_out=True)


def test_observational_questions_are_the_bias_models(tmp_path: Path, videos: Path) -> None:
    rows = [PLAIN | {"category": kind} for kind in ("observational", "inferential")]
    stats = prepare(reading(lines(tmp_path / "q.jsonl", rows), videos, {}), tmp_path / "out")
    assert stats["by_category"] == {"inferential": 1, "observational": 1}
    [one] = read_questions(tmp_path / "out/bias.parquet")
    assert one.category == "observational"


def test_a_result_from_before_is_replaced_whole(tmp_path: Path, videos: Path) -> None:
    rows = [PLAIN | {"category": "observational"}]
    prepare(reading(lines(tmp_path / "q.jsonl", rows), videos, {}), tmp_path / "out")
    prepare(reading(lines(tmp_path / "q.jsonl", [PLAIN]), videos, {}), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "questions.parquet",
        "stats.json",
    ]


def test_a_look_shows_how_questions_will_be_asked(tmp_path: Path, videos: Path) -> None:
    source = lines(tmp_path / "q.jsonl", [PLAIN, PLAIN | {"answer": "C"}, PLAIN])
    said = look(reading(source, videos, {}), 2)
    assert "Which colour?\nA. red\nB. blue  Output the thinking" in said
    assert "right: B (choice)" in said
    assert f"not usable: {source}: line 2: answer" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["q.txt", "nothing.jsonl"])
def test_a_file_that_cannot_be_questions_is_refused(
    tmp_path: Path, videos: Path, name: str
) -> None:
    (tmp_path / "q.txt").write_text("x")
    assert "Give a file that ends in" in refusal(tmp_path / name, videos)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_only_the_last_word_on_how_far_it_is_says_that_it_is_done(
    tmp_path: Path, videos: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videothinker.data.own.prepare.TOLD_EVERY", 2)
    source = tmp_path / f"q{suffix}"
    rows = [json.dumps(PLAIN)] * 5
    source.write_text("\n".join(rows) if suffix == ".jsonl" else f"[{', '.join(rows)}]")
    seen: list[tuple[int, int]] = []
    prepare(reading(source, videos, {}), tmp_path / "out", progress=lambda *two: seen.append(two))
    assert [done for done, _ in seen] == [2, 4, 5]
    assert [done < total for done, total in seen] == [True, True, False]

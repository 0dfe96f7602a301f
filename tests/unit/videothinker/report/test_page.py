"""The report: true sentences, nothing from outside, and foreign text that stays text."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from builders import completion, group, question
from evaluated_models import model
from html_page import Page

from videothinker.errors import InputError
from videothinker.report.groups import choose
from videothinker.report.page import write_report
from videothinker.run.directory import RunDirectory
from videothinker.types import Question, ScoredGroup
from videothinker.video.clips import ClipStore

CONFIG = """\
name: trial
data: {videos: /nowhere}
stages: [{name: bias, steps: 3}, {name: cdpo, steps: 4}]
"""
HOSTILE = "<script>alert('&')</script>"


BASE, BIAS, CDPO = model("base", 85, 31), model("bias", 99, 2), model("cdpo", 88, 42)


def scored(text: str, rewards: tuple[float, ...]) -> ScoredGroup:
    asked = question(
        video="gone.mp4",
        text=HOSTILE,
        options=(("A", HOSTILE), ("B", "other")),
        category="inferential",
    )
    said = completion(text, 2, logprobs=-0.25, version=3, finish_reason="length")
    values = np.array(rewards, np.float32)
    return ScoredGroup(
        group=group(*[said] * len(rewards), about=asked),
        rewards={"soft_accuracy": values},
        advantages=values - values.mean(),
        anchor_logprobs=(np.full(2, -0.75, np.float32),) * len(rewards),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = RunDirectory.create(tmp_path / "run", CONFIG)
    for step in (1, 2, 3):
        seconds = {"generate": 2.0, "learn": 1.0, "total": 3.2}
        line = {"stage": "bias", "step": step, "reward": 1.0 + step / 10, "kl": None}
        directory.record({**line, "seconds": seconds})
    directory.record({"stage": "cdpo", "step": 1, "reward": 1.5, "kl": 0.2})
    directory.rollouts("bias", 3, [scored(HOSTILE, (1.0, 0.0, 0.0))])
    directory.summary({"name": "trial", "started": 0.0, "models": [BASE, BIAS, CDPO], "stages": []})
    return directory.path


def test_the_page_is_well_formed_and_asks_for_nothing_from_outside(run: Path) -> None:
    text = write_report(run).read_text()
    page = Page(text)
    assert page.open == []
    assert page.links == []
    assert "script" not in page.tags
    assert not re.search(r"https?://|@import|url\(", text)


def test_text_from_outside_is_escaped(run: Path) -> None:
    text = write_report(run).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#39;&amp;&#39;)") >= 3


def test_the_page_shows_curves_phases_answers_and_lineage(run: Path) -> None:
    text = write_report(run).read_text()
    assert "Questions that need thinking: 31% right before CDPO training, 42% after." in text
    assert "mean reward by step" in text
    assert "</b> 3.2 s a step, 3 steps" in text
    assert "advantage +0.67" in text
    assert "2 times" in text
    assert "+0.50 nats a token against the anchor" in text
    assert "cut at the token limit" in text
    assert "sha256:cdpo" in text
    assert "gone.mp4 (not readable from here)" in text


def test_a_reward_of_the_users_has_a_curve(run: Path) -> None:
    assert "Reward brief" not in write_report(run).read_text()
    directory = RunDirectory(run)
    directory.record({"stage": "cdpo", "step": 2, "reward": 1.5, "reward_brief": 0.25})
    assert "Reward brief" in write_report(run).read_text()


def test_what_was_left_out_has_a_curve_where_it_may_be(run: Path) -> None:
    assert "Left out" not in write_report(run).read_text()
    RunDirectory(run).record({"stage": "cdpo", "step": 2, "reward": 1.5, "left_out": 3})
    assert "Left out" in write_report(run).read_text()


def test_validations_have_curves_of_their_own(run: Path) -> None:
    assert "accuracy, validated" not in write_report(run).read_text()
    RunDirectory(run).record({"stage": "cdpo", "step": 2, "validated_observational": 0.9})
    text = write_report(run).read_text()
    assert "Observational accuracy, validated" in text
    assert "Inferential accuracy, validated" not in text


def test_stills_are_taken_from_the_run_s_video_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def get(clips: ClipStore, path: Path, *part: float | None) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(frames=np.zeros((2, 3, 28, 28), np.uint8))

    monkeypatch.setattr(ClipStore, "get", get)
    assert 'src="data:image/jpeg;base64,' in write_report(run).read_text()
    assert asked == [Path("/nowhere/gone.mp4")]


def test_a_page_can_be_made_while_files_are_being_written(run: Path) -> None:
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\n[3]\n{"stage": "cdpo"}\n{"stage": "cdpo", "step": 2, "rew')
    (run / "summary.json").write_text('{"models": [{"name"')
    (run / "status.json").write_text("")
    (run / "rollouts" / "bias-000002.parquet").write_bytes(b"PAR1")
    (run / "rollouts" / "bias-000003.parquet").write_bytes(b"")
    text = write_report(run).read_text()
    assert Page(text).open == []
    assert "stage cdpo is at step 1" in text


def test_a_run_under_way_says_where_it_is(run: Path) -> None:
    directory = RunDirectory.open(run)
    directory.summary({"models": [{"name": "base", "evaluation": None}]})
    directory.status(state="training", stage="cdpo", step=1)
    text = write_report(run).read_text()
    assert "run trial: training stage cdpo (bias 0 of 3, cdpo 1 of 4)" in text
    assert "Not evaluated yet: stage cdpo is at step 1" in text


def test_a_failed_run_says_why_on_its_first_screen(run: Path) -> None:
    RunDirectory.open(run).status(state="failed", stage="cdpo", step=1, error=f"full {HOSTILE}")
    (run / "summary.json").unlink()
    text = write_report(run).read_text()
    head = text.partition("<svg")[0]
    assert "Not evaluated: stage cdpo came to step 1." in head
    assert "failed at step 1 of stage cdpo" in head
    assert "full &lt;script&gt;" in head
    assert "videothinker train --resume" in head


def test_a_run_that_only_started_has_a_report_too(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", "name: trial\n")
    text = write_report(directory.path).read_text()
    assert "has not finished a step yet" in text
    assert Page(text).open == []


def test_a_replayed_step_counts_once(run: Path) -> None:
    RunDirectory.open(run).record({"stage": "bias", "step": 3, "seconds": {"total": 3.2}})
    assert "3.2 s a step, 3 steps" in write_report(run).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        write_report(tmp_path)


def test_groups_with_unequal_rewards_are_shown_first_and_one_of_each_category() -> None:
    rows = [
        {"category": "inferential", "rewards": [0, 0]},
        {"category": "inferential", "rewards": [0, 1]},
        {"category": "observational", "rewards": [1, 1]},
    ]
    assert choose(rows) == [rows[1], rows[2]]


def test_the_summary_file_is_read_as_the_trainer_writes_it(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["finished"] = "2026-01-01"
    kl = {"direction": "repel", "coefficient": 0.01}
    anchor = {"path": "/models/bias", "digest": "sha256:bias"}
    summary["stages"] = [{"name": "cdpo", "steps": 4, "seconds": 9.0, "kl": kl, "anchor": anchor}]
    (run / "summary.json").write_text(json.dumps(summary))
    text = write_report(run).read_text()
    assert "4 steps, direction repel, coefficient 0.01" in text
    assert "anchor of cdpo" in text
    assert "1970-01-01 00:00 UTC" in text


HOSTILE_TEXTS = [
    HOSTILE,
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</p></article></body><iframe src=//evil.example>",
    "<!--",
    "<style>*{display:none}</style>",
    "</pre></details></title><meta http-equiv=refresh content=0>",
    "&#60;script&#62;",
    "\x1b]0;title\x07\u202e",
]


def page_about(folder: Path, text: str) -> Page:
    """Of a run in which everything that comes from outside is this text."""
    run = RunDirectory.create(folder, yaml.safe_dump({"name": text, "note": text}))
    group = scored(text, (1.0, 0.0, 0.0))
    question = Question(
        id=text,
        video=text.replace("/", "") or "v",
        text=text,
        options=(("A", text), (text, "B")),
        answer="A",
        category=text,
    )
    run.rollouts("bias", 1, [replace(group, group=replace(group.group, question=question))])
    run.record({"stage": "bias", "step": 1, "reward": 1.0})
    run.skip("bias", 1, text, text)
    named = {**model(text, 1, 2), "path": text, "digest": text}
    anchor = {"path": text, "digest": text}
    stage = {"name": text, "steps": 1, "kl": {text: text}, "anchor": anchor}
    run.summary({"name": text, "models": [named, CDPO], "stages": [stage]})
    return Page(write_report(folder).read_text())


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_element_of_the_page_is_an_attackers(tmp_path: Path, text: str) -> None:
    harmless = page_about(tmp_path / "harmless", "harmless")
    assert page_about(tmp_path / "hostile", text).elements == harmless.elements


def test_no_picture_is_taken_from_outside_the_folder_of_videos(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = scored("answer", (1.0, 0.0))
    question = replace(group.group.question, video="../../secret.mp4")
    outside = replace(group, group=replace(group.group, question=question))
    RunDirectory.open(run).rollouts("bias", 3, [outside])
    monkeypatch.setattr(ClipStore, "get", lambda *_: pytest.fail("it was opened"))
    assert "secret.mp4 (not readable from here)" in write_report(run).read_text()

"""Where an engine that answers computes, and how much cache it is given."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from builders import question
from mini_worlds import MINI_VIDEO

from cluster.verbs import answering
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.model.checkpoint import Budget, positions_of
from videothinker.model.families.known import KNOWN, shape_of

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]


def test_a_head_node_without_a_gpu_asks_for_its_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "cuda_of_torch", lambda: "13.0")
    monkeypatch.setattr(answering, "fault", lambda device: f"no driver for {device}")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert answering.device_here() == "cuda"
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(InputError, match="no driver for cuda"):
        answering.device_here()


def test_the_packages_for_cpus_answer_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "cuda_of_torch", lambda: None)
    monkeypatch.setattr(answering, "fault", lambda device: None)
    assert answering.device_here() == "cpu"


def test_one_question_takes_the_cache_of_one_answer_and_many_an_engines_usual() -> None:
    budget = Budget(dtype="bfloat16", video=VideoConfig(), max_tokens=768, max_model_len=8192)
    one = answering.cache_gb(SHAPE, budget, 1)
    assert one == pytest.approx((8192 + 32 + 64) * 2 * 36 * 2 * 128 * 2 / 2**30)
    assert answering.cache_gb(SHAPE, budget, 64) == 4.0


@pytest.mark.parametrize(
    ("cores", "workers", "loaders"), [(1, 1, 1), (2, 1, 2), (64, 1, 4), (64, 2, 8)]
)
def test_there_are_as_many_loaders_as_cores_up_to_some_for_each_engine(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, loaders: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert answering.loaders_for(workers) == loaders


def test_questions_of_one_video_follow_each_other_in_the_order_of_the_first() -> None:
    asked = [
        replace(question(f"q{number}"), video=video)
        for number, video in enumerate(["b", "a", "b", "c", "a"])
    ]
    assert [one.id for one in answering.by_video(asked)] == ["q0", "q2", "q1", "q4", "q3"]


def test_more_frames_or_longer_answers_have_room_as_far_as_the_model_has(mini_base: Path) -> None:
    own = Budget(dtype="float32", video=MINI_VIDEO, max_tokens=24, max_model_len=640)
    assert answering.with_room(mini_base, own, own.video, 24) == own
    longer = answering.with_room(mini_base, own, own.video, 100)
    tokens = shape_of(mini_base).tokens(own.video)
    assert longer.max_model_len == tokens + answering.TEXT_TOKENS + 100
    most = VideoConfig.model_validate("paper-evaluation")
    assert answering.with_room(mini_base, own, most, 100).max_model_len == positions_of(mini_base)
    with pytest.raises(InputError, match=r"has room for 4096 tokens.* Give fewer: --max-tokens"):
        answering.with_room(mini_base, own, most, 4096)


def test_the_frames_of_an_hour_may_take_longer_to_decode_than_a_clips(tmp_path: Path) -> None:
    data, faults = answering.patient(tmp_path, VideoConfig())
    assert (data.decode_seconds, faults.prepare_seconds) == (60.0, 600.0)
    data, faults = answering.patient(tmp_path, VideoConfig(max_frames=768))
    assert (data.decode_seconds, faults.prepare_seconds) == (1536.0, 3072.0)

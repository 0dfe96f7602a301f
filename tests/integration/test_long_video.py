"""Many frames: an hour of 1080p at the 768 of Qwen's report, answered within a stated memory; and
training at 64 and 128."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest
from cli_process import Command
from long_videos import repeat, write_minute
from real_models import write_real
from small_videos import pictures, write

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.questions import read_questions
from videothinker.files import read_json, read_lines, write_json
from videothinker.run.rollouts import read_groups

LIMIT = 1800.0
MOST_GB = {"decoder": 1.5, "PromptLoader": 4.0, "RolloutWorker": 9.0}
"""Of each process: frames come one by one, pixels and features are of 24,576 tokens."""


def watch(command: Command, most: dict[str, float]) -> None:
    """The most that a process of each kind held at a time, until the command ends."""
    while command.process.poll() is None:
        for pid in command.living():
            try:
                process = psutil.Process(pid)
                name = " ".join(process.cmdline())
                held = process.memory_info().rss / 2**30
            except psutil.Error:
                continue
            for kind in MOST_GB:
                if kind in name:
                    most[kind] = max(most.get(kind, 0.0), held)
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 600)
def test_an_hour_is_answered_within_memory(tmp_path: Path) -> None:
    minute, videos = tmp_path / "minute.mp4", tmp_path / "videos"
    videos.mkdir()
    write_minute(minute)
    repeat(minute, videos / "0.mp4", 60)
    model = write_real(tmp_path / "model", "Qwen2.5-VL-3B-Instruct")
    config = read_json(model / "config.json")
    config["text_config"]["max_position_embeddings"] = 32768
    write_json(model / "config.json", config)
    record = {
        "problem_id": 1,
        "problem": "What moves?",
        "video": "0.mp4",
        "data_source": "",
        "options": ["A. a square", "B. nothing"],
        "solution": "<answer>A</answer>",
    }
    (tmp_path / "eval_mmvu.json").write_text(json.dumps([record]))
    command = Command(
        *("evaluate", "--model", model, "--benchmark", "mmvu", "--protocol", "qwen2.5-vl"),
        *("--data", tmp_path / "eval_mmvu.json", "--videos", videos, "--max-tokens", "8"),
        *("--out", tmp_path / "out", "--json"),
        cache=tmp_path / "caches",
        environment={"OMP_NUM_THREADS": str(os.cpu_count() or 1)},
    )
    most: dict[str, float] = {}
    watching = threading.Thread(target=watch, args=(command, most))
    watching.start()
    code, out, err = command.finish(LIMIT)
    watching.join()
    assert code == 0, err
    assert json.loads(out)["unanswered"] == 0, read_lines(tmp_path / "out" / "skipped.jsonl")
    assert {kind: held for kind, held in most.items() if held > MOST_GB[kind]} == {}
    assert set(most) == set(MOST_GB)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [64, 128])
def test_a_run_trains_on_so_many_frames(frames: int, run_config: RunConfig, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    made = write(tmp_path / "made.mp4", pictures(130, 84, 140))
    for question in read_questions(run_config.stages[1].questions):
        (videos / question.video).parent.mkdir(parents=True, exist_ok=True)
        if not (videos / question.video).exists():
            (videos / question.video).symlink_to(made)
    seen = run_config.video
    video = seen.model_copy(
        update={"fps": 25.0, "max_frames": frames, "total_pixels": frames * seen.max_pixels}
    )
    stages = tuple(one.model_copy(update={"steps": 2}) for one in run_config.stages)
    data = run_config.data.model_copy(update={"videos": videos, "validation": None})
    rollout = run_config.rollout.model_copy(update={"max_model_len": 2048})
    changes = {"video": video, "stages": stages, "data": data, "rollout": rollout}
    file, out = tmp_path / "train.yaml", tmp_path / "run"
    file.write_text(to_yaml(run_config.model_copy(update=changes)))
    code, _, err = Command("train", file, f"out={out}").finish(LIMIT)
    assert code == 0, err
    for stage in stages:
        lengths = [row["prompt_tokens"] for row in read_groups(out, stage.name, 2)]
        assert min(lengths) > frames // 2 * 15  # of 3 x 5 cells of two frames

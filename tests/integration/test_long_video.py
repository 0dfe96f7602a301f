"""An hour of 1080p at the 768 frames of Qwen's report, answered within a stated memory."""

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

from videothinker.files import read_json, read_lines, write_json

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

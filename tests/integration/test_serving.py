"""A model behind vLLM's own server, asked as a toolkit asks it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_process import Command

from videothinker.config.settings import VideoConfig
from videothinker.evaluation.given import completions_of
from videothinker.method.prompts import training_text
from videothinker.model.checkpoint import Budget, write_budget
from videothinker.model.processing import PromptBuilder
from videothinker.types import Question

STARTS_WITHIN = 240.0


@pytest.fixture(scope="module")
def served(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Command, str]]:
    """The command of docs/serving.md, and where it answers."""
    budget = Budget(dtype="float32", video=mini_video, max_tokens=24, max_model_len=640)
    model = shutil.copytree(mini_base, tmp_path_factory.mktemp("served") / "model")
    write_budget(model, budget)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Command(
        *("serve", "--model", model, "--videos", mini_world / "raw" / "videos"),
        *("--port", port, "--name", "mini"),
        cache=tmp_path_factory.mktemp("caches"),
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and command.process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5)
            break
        except (urllib.error.URLError, TimeoutError):
            time.sleep(1)
    yield command, address
    command.process.kill()


def ask(address: str, question: Question, video: str) -> dict[str, Any]:
    content = [
        {"type": "video_url", "video_url": {"url": video}},
        {"type": "text", "text": training_text(question)},
    ]
    body = {
        "model": "mini",
        "temperature": 0,
        "max_tokens": 24,
        "messages": [{"role": "user", "content": content}],
    }
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def test_it_reads_as_many_tokens_as_this_package(
    served: tuple[Command, str],
    mini_base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> None:
    _, address = served
    videos, question = mini_world / "raw" / "videos", mini_questions[0]
    prompt = PromptBuilder(mini_base, videos, read_here(mini_video)).build(
        question, training_text(question)
    )
    reply = ask(address, question, f"file://{videos / question.video}")
    assert reply["usage"]["prompt_tokens"] == len(prompt.token_ids)
    assert reply["usage"]["completion_tokens"] > 0


def test_it_listens_on_the_loopback_alone_and_reads_no_other_folder(
    served: tuple[Command, str], mini_questions: list[Question], tmp_path: Path
) -> None:
    command, address = served
    everybody = psutil.Process(command.process.pid).children(recursive=True)
    heard = [one for process in everybody for one in process.net_connections("tcp")]
    listening = [one.laddr for one in heard if one.status == psutil.CONN_LISTEN]
    assert {one.ip for one in listening} == {"127.0.0.1"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, mini_questions[0], f"file://{tmp_path / 'clip.mp4'}")
    assert refused.value.code == 400


TASK = """\
task: mini_mmvu
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function asked.visual
doc_to_text: !function asked.text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 24, temperature: 0, do_sample: false}}
process_results: !function asked.results
metric_list: [{{metric: said, aggregation: mean, higher_is_better: true}}]
"""
ASKED = """\
def visual(doc):
    return [doc["file"]]

def text(doc, lmms_eval_specific_kwargs=None):
    return doc["asked"]

def results(doc, results):
    return {"said": float(bool(results[0]))}
"""


def test_lmms_eval_asks_it_and_its_samples_are_scored(
    served: tuple[Command, str], mini_world: Path, mini_questions: list[Question], tmp_path: Path
) -> None:
    """The toolkit itself, on a task of mini questions; `make toolkits` has it."""
    toolkits = os.environ.get("TOOLKITS")
    if toolkits is None:
        pytest.skip("TOOLKITS names no folder with lmms-eval; `make toolkits` makes one")
    _, address = served
    asked = mini_questions[:6]
    lines = [
        {
            "file": str(mini_world / "raw" / "videos" / question.video),
            "asked": training_text(question),
            "answer": question.answer,
        }
        for question in asked
    ]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mini_mmvu.yaml").write_text(TASK.format(questions=questions))
    (tmp_path / "task" / "asked.py").write_text(ASKED)
    server = f"model_version=mini,base_url={address}/v1,api_key=none,timeout=120"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lmms_eval", "--model", "openai", "--log_samples"),
            *("--model_args", f"{server},pass_video_url=True,max_frames_num=6"),
            *("--tasks", "mini_mmvu", "--include_path", tmp_path / "task", "--batch_size", "1"),
            *("--output_path", tmp_path / "out"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": toolkits, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    [samples] = (tmp_path / "out").rglob("*_samples_mini_mmvu.jsonl")
    assert len(completions_of(samples, asked)) == 6
    assert all(completions_of(samples, asked))


def test_it_ends_when_it_is_told_to(served: tuple[Command, str]) -> None:
    command, address = served
    children = psutil.Process(command.process.pid).children(recursive=True)
    command.process.terminate()
    command.process.wait(60)
    assert psutil.wait_procs(children, timeout=30)[1] == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/health", timeout=5)

"""A model behind vLLM's own server, asked as a toolkit asks it."""

from __future__ import annotations

import json
import shutil
import socket
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
    heard = psutil.Process(command.process.pid).net_connections("tcp")
    listening = [one.laddr for one in heard if one.status == psutil.CONN_LISTEN]
    assert {one.ip for one in listening} == {"127.0.0.1"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, mini_questions[0], f"file://{tmp_path / 'clip.mp4'}")
    assert refused.value.code == 400


def test_it_ends_when_it_is_told_to(served: tuple[Command, str]) -> None:
    command, address = served
    children = psutil.Process(command.process.pid).children(recursive=True)
    command.process.terminate()
    command.process.wait(60)
    assert psutil.wait_procs(children, timeout=30)[1] == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/health", timeout=5)

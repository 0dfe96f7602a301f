"""The example of a judge, asking vLLM's own server for scores of a tiny model's."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import builders
import pytest

from actors.vllm_engine import CPU_ENVIRONMENT
from videothinker.child import child_environment
from videothinker.config.rewards import RewardConfig
from videothinker.method.paying import Rewards
from videothinker.mini import SHIPPED_BASE

JUDGE = Path(__file__).parents[2] / "configs" / "rewards" / "judge.py"
OPTIONS = {
    "--host": "127.0.0.1",
    "--served-model-name": "tiny",
    "--dtype": "float32",
    "--max-model-len": "2048",
    "--max-num-batched-tokens": "2048",
    "--max-num-seqs": "16",
    "--kv-cache-memory-bytes": "100000000",
    "--generation-config": "vllm",
    # the tiny model would write white space for ever
    "--structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
}
START_SECONDS = 540.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server's, which is ended with all of its processes, whatever happens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    words = [word for pair in OPTIONS.items() for word in pair]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--model", str(SHIPPED_BASE), "--port", str(port), *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=child_environment()
            | CPU_ENVIRONMENT
            | {"VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"},
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(page: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(page, timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"no server after {START_SECONDS:g} s: {log.read_text()[-3000:]}")


def test_vllms_server_is_asked_for_scores_and_only_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OPENAI_BASE_URL": address,
        "OPENAI_API_KEY": "none",
        "JUDGE_MODEL": "tiny",
        "JUDGE_CACHE": str(tmp_path / "judge.sqlite"),
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    reward = RewardConfig(call=f"{JUDGE}:judge", weight=0.5, seconds=120, memory_gb=1)
    completions = [f"<think>{word}</think><answer>A</answer>" for word in "abcdefgg"]
    earned = []
    for _ in range(2):
        with closing(Rewards([reward])) as rewards:
            [values] = rewards.of(builders.question(), completions).values()
            earned.append(values.tolist())
    assert earned[0] == earned[1]
    assert {round(20 * value, 3) for value in earned[0]} <= {*range(11)}
    with closing(sqlite3.connect(tmp_path / "judge.sqlite")) as kept:
        cost = dict(kept.execute("SELECT what, number FROM cost"))
    assert (cost["requests"], cost["cached"]) == (7, 1 + 8)
    assert cost["tokens_in"] > 7 * 100
    assert 7 * 4 <= cost["tokens_out"] <= 7 * 20


def test_the_page_starts_a_server_with_the_option_that_is_tried_here() -> None:
    page = (JUDGE.parents[2] / "docs" / "rewards.md").read_text()
    option = "--structured-outputs-config"
    assert f"{option} '{OPTIONS[option]}'" in page

"""Every verb that starts something, interrupted at any moment, ends in seconds and whole."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import yaml
from cli_process import Command
from small_study import SETTINGS

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.mini import SHIPPED_BASE

VERBS = ("train", "ask", "evaluate", "probe", "study", "quickstart", "serve")
SHORT = ("ask", "evaluate", "probe")
"""Which are over within half a minute."""
LIMIT = 60.0
"""Of a machine that does much else; seconds on a quiet one."""
ENDED = (130, -signal.SIGINT, -signal.SIGTERM)
"""Python itself ends by the signal where a verb has not begun, or where the interrupt came while it
defined a class; shells make 130 of the second as well."""
OF_VLLM = ("serve",)
"""From some moment on another's program, whose last words are its own."""


def words(verb: str, config: RunConfig, world: Path, folder: Path) -> list[str]:
    """The verb's arguments for something that takes minutes."""
    videos, out = world / "raw" / "videos", ["--out", str(folder / "out")]
    model = ["--model", str(SHIPPED_BASE)]
    asked = ["--benchmark", "clevrer", "--data", str(world / "questions.parquet")]
    if verb == "train":
        (folder / "config.yaml").write_text(to_yaml(config))
        return [str(folder / "config.yaml"), f"out={folder / 'out'}"]
    if verb == "ask":
        return [*model, "--video", str(next(iter(sorted(videos.iterdir())))), "What is red?"]
    if verb in ("evaluate", "probe"):
        return [*model, *asked, "--videos", str(videos), *out]
    if verb == "study":
        study = SETTINGS | {"out": str(folder / "out"), "results": str(folder / "results")}
        (folder / "study.yaml").write_text(yaml.safe_dump(study))
        return [str(folder / "study.yaml")]
    if verb == "serve":
        with socket.create_server(("127.0.0.1", 0)) as free:
            return [*model, "--port", str(free.getsockname()[1])]
    return out


def interrupt(verb: str, seed: int, latest: float, arguments: list[str]) -> None:
    """Begin, send one of the two signals after a while, and look at what is left."""
    drawn = random.Random(f"{verb} {seed}")
    moment, sent = drawn.uniform(0.5, latest), drawn.choice([signal.SIGINT, signal.SIGTERM])
    command = Command(verb, *arguments)
    time.sleep(moment)
    running = command.process.poll() is None
    if running:
        os.kill(command.process.pid, sent)
    code, out, err = command.finish(LIMIT)
    where = f"{sent.name} after {moment:.2f} s, exit code {code}: {out}{err}"
    left = [] if command.all_gone() else command.living()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, where
    if running:
        assert code in ENDED, where
        assert verb in OF_VLLM or "Traceback" not in err, where


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_interrupted_leaves_nothing(
    verb: str, run_config: RunConfig, mini_world: Path, tmp_path: Path
) -> None:
    interrupt(verb, 0, 8.0, words(verb, run_config, mini_world, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("verb", VERBS)
def test_so_it_does_at_any_moment(
    verb: str, seed: int, run_config: RunConfig, mini_world: Path, tmp_path: Path
) -> None:
    latest = 15.0 if verb in SHORT else 40.0
    interrupt(verb, seed, latest, words(verb, run_config, mini_world, tmp_path))

"""A model behind vLLM's own server, which answers as OpenAI's does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from actors.vllm_engine import CPU_ENVIRONMENT
from cluster.verbs.answering import AT_ONCE, budget_for, device_here
from videothinker import cpu_torch
from videothinker.config.settings import Device
from videothinker.errors import InputError
from videothinker.model.checkpoint import Budget, is_adapter, require_model, require_safe
from videothinker.process.orphan import end_with_parent
from videothinker.types import SHOWN_AT_MOST

LOOPBACK = "127.0.0.1"
END_SECONDS = 20.0
"""To end by itself, once it is asked to."""


def run(model: Path, port: int, *, name: str, budget: str | None, videos: Path | None) -> NoReturn:
    """The server until it ends; output and exit code are its own."""
    require_model(model)
    if is_adapter(model):
        raise InputError(
            f"{model}: an adapter; merge it first: videothinker merge {model} --out DIR"
        )
    require_safe(model)
    if videos is not None and not videos.is_dir():
        raise InputError(f"{videos}: no such folder; --videos names the folder of the videos")
    device = device_here()
    seen = budget_for(model, budget)
    command = server_command(
        model, name, seen, port, device, None if videos is None else videos.resolve()
    )
    # in a session of its own, so that Ctrl-C reaches us alone
    with subprocess.Popen(
        command,
        env=server_environment(device),
        start_new_session=True,
        preexec_fn=end_with_parent,
    ) as server:
        try:
            sys.exit(server.wait())
        finally:
            end(server)


def end(server: subprocess.Popen[bytes]) -> None:
    """With all that it has started. By what it heeds at any moment: SIGTERM, while its engine
    starts, leaves it waiting for that for ten minutes."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            server.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


def server_command(
    model: Path, name: str, budget: Budget, port: int, device: Device, videos: Path | None
) -> list[str]:
    """What starts it, on this machine alone. Of a video as many frames are taken, and as large, as
    the model was trained to see; `videos` is the folder that file: addresses may lead into."""
    video = budget.video
    seen = {"min_pixels": video.min_pixels, "max_pixels": video.max_pixels}
    shown = {"video": 1, "image": max(SHOWN_AT_MOST, video.max_frames)}
    taken = {"video": {"num_frames": video.max_frames, "fps": video.fps}}
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", name),
        *("--host", LOOPBACK, "--port", str(port)),
        *("--dtype", budget.dtype, "--max-model-len", str(budget.max_model_len)),
        *("--max-num-seqs", str(AT_ONCE), "--load-format", "safetensors"),
        # a checkpoint's own file must not change the sampling
        *("--generation-config", "vllm"),
        *("--mm-processor-kwargs", json.dumps(seen)),
        *("--media-io-kwargs", json.dumps(taken)),
        *("--limit-mm-per-prompt", json.dumps(shown)),
    ]
    if videos is not None:
        command += ["--allowed-local-media-path", str(videos)]
    return [*command, *_for_device(device)]


def server_environment(device: Device) -> dict[str, str]:
    """What it reads of its surroundings beside what is there."""
    own = {"VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    own["VLLM_LOGGING_LEVEL"] = os.environ.get("VLLM_LOGGING_LEVEL", "WARNING")
    if device == "cpu":
        paths = [str(Path(cpu_torch.__file__).parent), os.environ.get("PYTHONPATH", "")]
        own |= CPU_ENVIRONMENT
        own["VLLM_CPU_KVCACHE_SPACE"] = os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")
        own["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return dict(os.environ) | own


def _for_device(device: Device) -> Sequence[str]:
    return ["--enforce-eager", "--no-enable-chunked-prefill"] if device == "cpu" else []

"""A model behind vLLM's own server, for programs that speak to OpenAI's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from actors.vllm_server import server_command, server_environment
from cluster.verbs.answering import budget_for, device_here
from videothinker.errors import InputError
from videothinker.model.checkpoint import is_adapter, require_model


def run(model: Path, port: int, *, name: str, budget: str | None, videos: Path | None) -> NoReturn:
    """Becomes the server: signals, output and the exit code are its own."""
    require_model(model)
    if is_adapter(model):
        raise InputError(
            f"{model}: an adapter; merge it first: videothinker merge {model} --out DIR"
        )
    if videos is not None and not videos.is_dir():
        raise InputError(f"{videos}: no such folder; --videos names the folder of the videos")
    device = device_here()
    seen = budget_for(model, budget)
    command = server_command(
        model, name, seen, port, device, None if videos is None else videos.resolve()
    )
    os.execvpe(command[0], command, server_environment(device))

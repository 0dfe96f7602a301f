"""Checkpoints on disk: Hugging Face folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from videothinker.budget import Budget, write_budget
from videothinker.errors import InputError

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json", "*.bin", "config.json")


def save_model(model: Any, folder: Path, like: Path, budget: Budget) -> None:
    """Write the model with the tokenizer, processor and generation settings of `like` beside it."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(like, partial, ignore=shutil.ignore_patterns(*WEIGHT_FILES))
    model.save_pretrained(partial)
    shutil.copy(like / "generation_config.json", partial)  # transformers rewrites it otherwise
    write_budget(partial, budget)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def model_digest(folder: Path) -> str:
    """One hash over a checkpoint's tensors, whatever its folder is called."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors in it; give a Hugging Face model folder")
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 24):
                content.update(chunk)
    return content.hexdigest()

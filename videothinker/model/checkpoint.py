"""Checkpoints on disk: Hugging Face folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.model.budget import Budget, write_budget
from videothinker.model.card import CARD, LINEAGE, ModelLineage, describe, license_in
from videothinker.model.safe import PICKLED
from videothinker.run.directory import atomic_write

REPLACED = ("*.safetensors", "*.safetensors.index.json", "config.json")
"""What an export has of its own."""
NOT_HANDED_ON = (*(f"*{ending}" for ending in PICKLED), "*.py")
"""What an export must not take over, since whoever loads it might run it."""
GENERATION = "generation_config.json"
TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def save_model(
    model: Any,
    folder: Path,
    like: Path,
    budget: Budget,
    temperature: float = 1.0,
    lineage: ModelLineage | None = None,
) -> None:
    """Write the model with the tokenizer and processor of `like` beside it.

    Sampling is written out as trained, at `temperature`; `lineage` becomes lineage.json and a model
    card.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # a card and a lineage of `like` would be wrong here
    left_out = shutil.ignore_patterns(*REPLACED, *NOT_HANDED_ON, CARD, LINEAGE)
    shutil.copytree(like, partial, ignore=left_out)
    model.save_pretrained(partial)
    _rewrite(partial / "config.json", with_cache(_read(partial / "config.json")))
    base = _read(like / "config.json") | _read(like / GENERATION)
    _rewrite(partial / GENERATION, generation_settings(base, temperature))
    write_budget(partial, budget)
    if lineage is not None:
        describe(partial, lineage, license_in(like))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def generation_settings(base: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """generation_config.json: the base's special tokens, and sampling as it was trained.

    Nothing is left to defaults. transformers puts a folder's own values in the place of whatever a
    caller gives that equals a class default, so that asking Qwen's own folder (temperature 1e-6,
    repetition penalty 1.05) for temperature 1 gives the same completion every time.
    """
    import transformers

    tokens = {key: base[key] for key in TOKEN_KEYS if base.get(key) is not None}
    return {
        **tokens,
        "do_sample": True,
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": 0,  # off; left out, it is 50
        "repetition_penalty": 1.0,
        "use_cache": True,
        "transformers_version": transformers.__version__,
    }


def with_cache(config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json with the key-value cache on, which training turns off and answering needs."""
    text = {**config.get("text_config", {}), "use_cache": True}
    return {**config, "use_cache": True, "text_config": text}


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read a piece at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return content


def _rewrite(file: Path, content: Mapping[str, Any]) -> None:
    atomic_write(file, json.dumps(content, indent=2) + "\n")

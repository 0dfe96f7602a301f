"""What a model's folder must hold, and must not, before anything in it is loaded.

Whoever gives a folder away decides what is in it, so nothing in it may be run: weights are
safetensors, which are numbers and nothing else, and no file may ask for code of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from videothinker.errors import InputError

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Endings of weights that are programs: who loads them runs what is in them."""
SAFE = {"local_files_only": True, "trust_remote_code": False}
"""How everything that transformers loads is loaded."""
REMEDY = "Give a Hugging Face folder with its weights as *.safetensors."


def require_safe(folder: Path) -> None:
    """InputError where a checkpoint's folder has no safetensors, damaged ones, or code."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLED)
        found = (
            f"only {pickled[0]}, and loading that would run what is in it" if pickled else "none"
        )
        raise InputError(f"{folder}: no *.safetensors in it ({found}). {REMEDY}")
    for file in files:
        _require_tensors(file)
    for file in sorted(folder.glob("*.json")):
        content = _read(file)
        if "auto_map" in content:
            raise InputError(
                f"{file}: asks for code of its own (auto_map), which is never run. Give a model"
                " that transformers knows by itself, or take that entry out"
            )
        shards = content.get("weight_map") or {}
        for name in sorted(set(shards.values()) - {file.name for file in files}):
            raise InputError(f"{file}: names {name}, which is not one of its *.safetensors")


def _require_tensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise InputError(f"{file}: is no file. {REMEDY}")
    try:
        with safe_open(file, "np"):
            return
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: holds no safetensors, whatever its name ({error})") from error


def _read(file: Path) -> dict[str, Any]:
    """What a file holds; nothing where that is no object, as in some tokenizers' files."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({type(error).__name__}). Fetch it again") from error
    return content if isinstance(content, dict) else {}

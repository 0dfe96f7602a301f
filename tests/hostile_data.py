"""Data made by somebody who means harm, among good data: files, questions, a model."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from videothinker.types import Question

ESCAPES = "\x1b]0;owned\x07\x1b[2J"
HTML = "</p></article><script>fetch('//evil.example')</script><img src=x onerror=alert(1)>"


class Bomb:
    """Whoever unpickles it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


def spoil_world(raw: Path, marker: Path) -> list[str]:
    """Among the videos of a mini world a pipe, a loop, a device and a pickle; their names.

    And folders that lead back to themselves, in two ways, so that they multiply.
    """
    videos = raw / "videos"
    names = sorted(file.name for file in videos.iterdir())[:4]
    pipe, loop, device, bomb = (videos / name for name in names)
    for file in (pipe, loop, device, bomb):
        file.unlink()
    os.mkfifo(pipe)
    loop.symlink_to(loop.name)
    device.symlink_to("/dev/zero")
    bomb.write_bytes(pickle.dumps(Bomb(marker)))
    for folder in (videos, raw / "annotations"):
        for name in ("again", "and_again"):
            (folder / name).symlink_to(raw)
    return names


def hostile_questions(good: Question, outside: Path) -> list[Question]:
    """Questions whose path leads to a video that is there, and that they must not reach."""
    paths = {
        "../../escape": f"../../{outside.name}",
        "absolute": str(outside),
        f"steer {ESCAPES}": f"{ESCAPES}\n.mp4",
        "half way": f"videos/../../../{outside.name}",
    }
    return [replace(good, id=name, video=path) for name, path in paths.items()]


def marked_up(good: Question, name: str) -> Question:
    """A question about a good video that would be part of every page which shows it."""
    options = tuple((letter, f"{text} {HTML}") for letter, text in good.options)
    return replace(good, id=name, text=f"{good.text} {HTML}{ESCAPES}", options=options)


def hostile_model(model: Path, folder: Path, marker: Path) -> Path:
    """A checkpoint whose weights are a pickle that is named .safetensors."""
    shutil.copytree(model, folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(marker)))
    return folder


def snapshot(folder: Path) -> dict[str, str]:
    """Everything below a folder: what it is, what it holds, when it was last changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content = ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        times = "" if path.is_dir() else state.st_mtime_ns  # a folder's is that of its names
        found[str(path.relative_to(folder))] = f"{state.st_mode} {times} {content}"
    return found

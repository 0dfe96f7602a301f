"""Writes mini CLEVRER scenes as files in CLEVRER's own layout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.files import whole_folder
from videothinker.mini.render import draw, encode
from videothinker.mini.settings import Split, World, scene_numbers
from videothinker.mini.world import DEFAULT, Pair, Scene, make_scene

Progress = Callable[[int, int, str], None]
"""Called with (done, total, note)."""


def write_world(
    out: Path,
    videos: int,
    seed: int,
    start: int = 0,
    progress: Progress | None = None,
    *,
    split: Split = "train",
    world: World = DEFAULT,
) -> None:
    """Write a split's scenes from its start-th to OUT/videos, OUT/annotations, OUT/questions.json.

    OUT appears complete or not at all: everything is written beside it and renamed at the end.
    """
    numbers = scene_numbers(split, start, videos)
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more.")
    with whole_folder(out) as partial:
        _write_files(partial, numbers, seed, world, progress)


def _write_files(
    out: Path, indices: range, seed: int, world: World, progress: Progress | None
) -> None:
    """All files of a world, into a folder of its own; encoding keeps every core busy."""
    (out / "videos").mkdir()
    (out / "annotations").mkdir()
    records = []
    cores = ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)))
    try:
        written = cores.map(lambda index: _write_scene(out, index, seed, world), indices)
        for record in written:
            records.append(record)
            if progress:
                progress(len(records), len(indices), record["video_filename"])
    finally:
        cores.shutdown(cancel_futures=True)
    (out / "questions.json").write_text(json.dumps(records, indent=1))


def _write_scene(out: Path, index: int, seed: int, world: World) -> dict[str, Any]:
    """A video and its annotation; returns its entry of the question file."""
    scene = make_scene(seed, index, world=world)
    encode(draw(scene, seed), out / "videos" / f"video_{index:05d}.mp4")
    path = out / "annotations" / f"annotation_{index:05d}.json"
    path.write_text(json.dumps(annotation(scene)))
    return question_record(scene)


def annotation(scene: Scene) -> dict[str, Any]:
    """CLEVRER's annotation: what there is, where it is in each frame, what collides when."""
    return {
        "scene_index": scene.index,
        "video_filename": f"video_{scene.index:05d}.mp4",
        "object_property": [
            {"object_id": i, "color": t.colour, "material": "rubber", "shape": t.shape}
            for i, t in enumerate(scene.things)
        ],
        "motion_trajectory": [
            {
                "frame_id": frame,
                "objects": [_motion(scene, frame, i) for i in range(len(scene.things))],
            }
            for frame in range(scene.world.frames)
        ],
        "collision": [
            {
                "object_ids": [event.mover, event.struck],
                "frame_id": event.frame,
                "location": _location(scene, event.frame, event.mover),
            }
            for event in scene.course.events
        ],
    }


def _location(scene: Scene, frame: int, i: int) -> list[float]:
    """x along the columns, y along the lanes, z up; in cells."""
    course = scene.course
    return [float(course.columns[frame, i]), float(course.lanes[frame, i]), 0.0]


def _motion(scene: Scene, frame: int, i: int) -> dict[str, Any]:
    """One object in one frame."""
    return {
        "object_id": i,
        "location": _location(scene, frame, i),
        "orientation": [0.0, 0.0, 0.0],
        "velocity": [float(scene.course.velocities[frame, i]), 0.0, 0.0],
        "angular_velocity": [0.0, 0.0, 0.0],
        "inside_camera_view": bool(scene.course.visible[frame, i]),
    }


def question_record(scene: Scene) -> dict[str, Any]:
    """One video's entry of CLEVRER's question file."""
    return {
        "scene_index": scene.index,
        "video_filename": f"video_{scene.index:05d}.mp4",
        "questions": [
            {
                "question_id": 0,
                "question": scene.question_text,
                "question_type": "counterfactual",
                "program": [*_selects(scene, scene.removed), "get_counterfact"],
                "choices": [
                    {
                        "choice_id": i,
                        "choice": scene.choice_text(i),
                        "program": _collides(scene, option),
                        "answer": "correct" if i == scene.answer else "wrong",
                    }
                    for i, option in enumerate(scene.options)
                ],
            }
        ],
    }


def _selects(scene: Scene, i: int) -> list[str]:
    """CLEVRER's program that picks one object by colour and shape."""
    thing = scene.things[i]
    return ["objects", thing.colour, "filter_color", thing.shape, "filter_shape", "unique"]


def _collides(scene: Scene, option: Pair) -> list[str]:
    """CLEVRER's program for: these two collide."""
    pair = [*_selects(scene, option[0]), *_selects(scene, option[1])]
    return ["events", *pair, "filter_collision", "unique"]

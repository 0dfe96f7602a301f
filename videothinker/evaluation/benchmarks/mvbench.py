"""What results are split by, where a file does not say it: MVBench's and TempCompass's tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import Options
from videothinker.evaluation.benchmarks.records import Record

MVBENCH_TASKS = {
    "Action Antonym": "ssv2_video",
    "Action Count": "perception/videos",
    "Action Localization": "sta/sta_video",
    "Action Prediction": "star/Charades_v1_480",
    "Action Sequence": "star/Charades_v1_480",
    "Character Order": "perception/videos",
    "Counterfactual Inference": "clevrer/video_validation",
    "Egocentric Navigation": "vlnqa",
    "Episodic Reasoning": "tvqa/frames_fps3_hq",
    "Fine-grained Action": "Moments_in_Time_Raw/videos",
    "Fine-grained Pose": "nturgbd",
    "Moving Attribute": "clevrer/video_validation",
    "Moving Count": "clevrer/video_validation",
    "Moving Direction": "clevrer/video_validation",
    "Object Existence": "clevrer/video_validation",
    "Object Interaction": "star/Charades_v1_480",
    "Object Shuffle": "perception/videos",
    "Scene Transition": "scene_qa/video",
    "State Change": "perception/videos",
    "Unexpected Action": "FunQA_test/test",
}
"""Task -> the folder of its videos; alphabetical, which is the order of the reference's file."""

PER_TASK = 200
UNKNOWN_TASK = "unknown task"

TEMPCOMPASS_TASKS = ("multi-choice", "yes_no", "caption_matching", "captioning")
MATCHING = re.compile(
    r"Which (description is a more suitable match|sentence better captures|caption matches)"
)
"""How all 1,503 caption matching questions begin."""


def file_stem(task: str) -> str:
    """The name of a task's file in MVBench's release, without .json."""
    return task.lower().replace(" ", "_").replace("-", "_")


def named_task(record: Record) -> str:
    """The MVBench task that a record names itself."""
    task = record.text("task_type")
    if task not in MVBENCH_TASKS:
        raise record.problem("task_type", f"{task!r} is not one of MVBench's 20 tasks.")
    return task


def mvbench_tasks(records: Sequence[Record]) -> list[str]:
    """The task of each record of the reference's MVBench file, which does not name it.

    A record's own task_type counts first. Otherwise problem_id n (or, where no record has one, the
    n-th record) belongs to task (n - 1) // 200 of the alphabet, provided that the file is whole,
    every number from 1 to 4000 occurs once, and no video lies in the folder of another task;
    if any of that fails, the order cannot be trusted and the file is refused.
    In a part of the file, what a record's number and folder agree on is its task; without such an
    agreement it is "unknown task", unless only one task has the folder.
    """
    whole = len(records) == PER_TASK * len(MVBENCH_TASKS)
    numbers = [_number(record) for record in records]
    if whole and sorted(numbers) != list(range(1, len(records) + 1)):
        raise InputError(
            f"{records[0].where.partition(': record')[0]}: problem_id: not each of 1 to 4000 once, "
            "so the tasks, which the file does not name, cannot be told. Use the file as "
            "published, MVBench's own 20 files, or add a field task_type."
        )
    return [
        _mvbench_task(record, number, whole)
        for record, number in zip(records, numbers, strict=True)
    ]


def _mvbench_task(record: Record, number: int, whole: bool) -> str:
    if "task_type" in record.fields:
        return named_task(record)
    parts = PurePosixPath(record.text("video")).parts
    fitting = [task for task, folder in MVBENCH_TASKS.items() if folder.split("/")[0] in parts]
    index = (number - 1) // PER_TASK
    by_number = list(MVBENCH_TASKS)[index] if 0 <= index < len(MVBENCH_TASKS) else UNKNOWN_TASK
    if by_number in fitting or (whole and not fitting):
        return by_number
    if whole:
        raise record.problem(
            "video",
            f"problem_id {number} stands for {by_number}, whose videos lie in "
            f"{MVBENCH_TASKS[by_number]}, and this one is {record.text('video')}: the order cannot "
            "be trusted. Use the file as published, MVBench's own 20 files, or add task_type.",
        )
    return fitting[0] if len(fitting) == 1 else UNKNOWN_TASK


def _number(record: Record) -> int:
    written = str(record.fields.get("problem_id", record.number))
    return int(written) if written.isdecimal() else 0


def tempcompass_task(text: str, options: Options, caption: object) -> str:
    """Which of TempCompass's four tasks a question is of; only its content says so.

    caption: what a captioning record has beside its question (mc_question); empty in the others.
    """
    texts = [option.strip() for _, option in options]
    if caption or any(option.startswith("{") for option in texts):
        return "captioning"
    if [option.lower() for option in texts] == ["yes", "no"]:
        return "yes_no"
    return "caption_matching" if MATCHING.match(text) else "multi-choice"

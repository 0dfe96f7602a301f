"""MVBench: 20 tasks of 200 questions, which the reference's file does not name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import as_question, letters_of_text, read_options
from videothinker.evaluation.benchmarks.records import FileRecord, in_file
from videothinker.evaluation.rules import final
from videothinker.types import Question

TASKS = {
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
STEMS = {task.lower().replace(" ", "_").replace("-", "_"): task for task in TASKS}
"""The name of a task's file in the release, without .json -> the task."""


def opened(path: Path) -> list[FileRecord]:
    """One file's records; in the release its name is the task."""
    return in_file(path, {"task_type": STEMS[path.stem]} if path.stem in STEMS else {})


def reference(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The category is the task."""
    for record, task in zip(records, tasks_of(records), strict=True):
        yield as_question(record, task)


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """20 files, one a task; the answer is a text, and of equal texts the last is meant."""
    stems = {task: stem for stem, task in STEMS.items()}
    for record in records:
        task = _named_task(record)
        options = read_options(record, "candidates", lettered=False)
        correct = letters_of_text(record.text("answer"), options)
        if not correct:
            raise record.problem(
                "answer", f"{record.text('answer')!r} is not among the candidates. Correct one."
            )
        yield Question(
            id=f"{stems[task]}/{record.number}",
            video=f"MVBench/{TASKS[task]}/{record.text('video')}",
            text=record.text("question"),
            options=options,
            answer=correct[-1],
            category=task,
            **record.clip(),
        )


def tasks_of(records: Sequence[FileRecord]) -> list[str]:
    """The task of each record of the reference's MVBench file, which does not name it.

    A record's own task_type counts first. Otherwise problem_id n (or, where no record has one, the
    n-th record) belongs to task (n - 1) // 200 of the alphabet, provided that the file is whole,
    every number from 1 to 4000 occurs once, and no video lies in the folder of another task;
    if any of that fails, the order cannot be trusted and the file is refused.
    In a part of the file, what a record's number and folder agree on is its task; without such an
    agreement it is "unknown task", unless only one task has the folder.
    """
    whole = len(records) == PER_TASK * len(TASKS)
    numbers = [_number(record) for record in records]
    if whole and sorted(numbers) != list(range(1, len(records) + 1)):
        raise InputError(
            f"{records[0].where.partition(': record')[0]}: problem_id: not each of 1 to 4000 once, "
            "so the tasks, which the file does not name, cannot be told. Use the file as "
            "published, MVBench's own 20 files, or add a field task_type."
        )
    return [_task(record, number, whole) for record, number in zip(records, numbers, strict=True)]


def _task(record: FileRecord, number: int, whole: bool) -> str:
    if "task_type" in record.fields:
        return _named_task(record)
    parts = PurePosixPath(record.text("video")).parts
    fitting = [task for task, folder in TASKS.items() if folder.split("/")[0] in parts]
    index = (number - 1) // PER_TASK
    by_number = list(TASKS)[index] if 0 <= index < len(TASKS) else UNKNOWN_TASK
    if by_number in fitting or (whole and not fitting):
        return by_number
    if whole:
        raise record.problem(
            "video",
            f"problem_id {number} stands for {by_number}, whose videos lie in "
            f"{TASKS[by_number]}, and this one is {record.text('video')}: the order cannot "
            "be trusted. Use the file as published, MVBench's own 20 files, or add task_type.",
        )
    return fitting[0] if len(fitting) == 1 else UNKNOWN_TASK


def _number(record: FileRecord) -> int:
    written = str(record.fields.get("problem_id", record.number))
    return int(written) if written.isdecimal() else 0


def _named_task(record: FileRecord) -> str:
    task = record.text("task_type")
    if task not in TASKS:
        raise record.problem("task_type", f"{task!r} is not one of MVBench's 20 tasks.")
    return task


def rule(completion: str, question: Question) -> bool:
    """What stands before the first space is the letter, in either case, with or without brackets:
    "(A) text", "a."."""
    line = final(completion).partition("\n")[0].strip()
    first = line.lower().partition(" ")[0]
    letter = f"({question.answer.lower()})"
    bare = first.replace(".", "")
    return letter in first or (bare in letter and bare.strip("()") != "")

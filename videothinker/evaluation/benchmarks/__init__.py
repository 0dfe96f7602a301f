"""The benchmarks, listed here alone; each has a folder with its reader, rule and protocols."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import (
    clevrer,
    longvideobench,
    lvbench,
    mlvu,
    mmvu,
    mvbench,
    tempcompass,
    tomato,
    video_holmes,
    video_mmmu,
    videomme,
    vsi_bench,
)
from videothinker.evaluation.benchmarks.records import FileRecord, in_file
from videothinker.types import Question

Reader = Callable[[Sequence[FileRecord]], Iterator[Question | str]]
"""Records -> for each its question, or the kind it is of if it has no options: "open-ended"."""
REFERENCE_FIELDS = frozenset({"problem", "options", "solution", "video"})
"""What all of the reference's files have."""


def letters(question: Question) -> list[str]:
    """Its options' own."""
    return [letter for letter, _ in question.options]


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """What is particular to one."""

    title: str
    """Of its column in the paper's table."""
    rule: Callable[[str, Question], float]
    """Whether a completion is right officially, or what share of right it is worth, where a number
    may come near; docs/benchmarks.md has source and deviations."""
    option_names: Callable[[Question], Sequence[str]] = letters
    """What a question itself calls its options."""
    in_paper: bool = False
    """Has a column in the paper's table."""
    mean_of_tasks: bool = False
    """Its own figure is a mean over tasks, however many questions each has."""
    mean_of_parts: bool = False
    """And a task's own is a mean over its parts, which follow its name's "/"."""
    judged: str = ""
    """A task that officially only a judge can score; the mean without it stands beside."""
    reference: Reader | None = None
    release: Reader | None = None
    """Neither of the two: its questions are read as `videothinker prepare` writes them."""
    release_fields: frozenset[str] = frozenset()
    signature: str = ""
    """A field that only this benchmark's reference file has, so that another's is not mistaken."""
    stems: tuple[str, ...] = ()
    """The JSON files of a release that is a folder, in order, without .json."""
    open: Callable[[Path], list[FileRecord]] = in_file
    """One file's records, with what its name or its nesting says of each."""


BY_NAME: dict[str, Benchmark] = {
    "clevrer": Benchmark(title="CLEVRER", in_paper=True, rule=clevrer.rule),
    "mmvu": Benchmark(
        title="MMVU",
        in_paper=True,
        rule=mmvu.rule,
        reference=mmvu.reference,
        release=mmvu.release,
        release_fields=frozenset({"question", "choices", "answer", "question_type", "video"}),
        signature="data_source",
    ),
    "video-holmes": Benchmark(
        title="V-Holmes",
        in_paper=True,
        rule=video_holmes.rule,
        reference=video_holmes.reference,
        release=video_holmes.release,
        release_fields=frozenset(
            {"video ID", "Question ID", "Question Type", "Question", "Options", "Answer"}
        ),
        signature="question_type",
    ),
    "mvbench": Benchmark(
        title="MVBench",
        in_paper=True,
        rule=mvbench.rule,
        mean_of_tasks=True,
        reference=mvbench.reference,
        release=mvbench.release,
        release_fields=frozenset({"question", "candidates", "answer", "video"}),
        signature="ori_video",
        stems=tuple(mvbench.STEMS),
        open=mvbench.opened,
    ),
    "tempcompass": Benchmark(
        title="TempCompass",
        in_paper=True,
        rule=tempcompass.rule,
        option_names=tempcompass.option_names,
        mean_of_tasks=True,
        judged="captioning",
        reference=tempcompass.reference,
        release=tempcompass.release,
        release_fields=frozenset({"question", "answer", "video_id", "dim"}),
        signature="dim",
        stems=tempcompass.TASKS,
        open=tempcompass.opened,
    ),
    "videomme": Benchmark(
        title="VideoMME",
        in_paper=True,
        rule=videomme.rule,
        reference=videomme.reference,
        release=videomme.release,
        release_fields=frozenset(
            {"question", "options", "answer", "videoID", "duration", "task_type"}
        ),
        signature="videoID",
    ),
    "longvideobench": Benchmark(
        title="LongVideoBench",
        rule=longvideobench.rule,
        release=longvideobench.release,
        release_fields=frozenset(
            {"id", "question", "video_path", "correct_choice", "duration_group"}
        ),
    ),
    "lvbench": Benchmark(
        title="LVBench",
        rule=lvbench.rule,
        release=lvbench.release,
        release_fields=frozenset({"key", "uid", "question", "answer", "question_type"}),
        open=lvbench.opened,
    ),
    "mlvu": Benchmark(
        title="MLVU",
        rule=mlvu.rule,
        mean_of_tasks=True,
        release=mlvu.release,
        release_fields=frozenset({"video", "question", "candidates", "answer", "question_type"}),
        stems=mlvu.STEMS,
    ),
    "video-mmmu": Benchmark(
        title="Video-MMMU",
        rule=video_mmmu.rule,
        mean_of_tasks=True,
        release=video_mmmu.release,
        release_fields=frozenset({"id", "question", "options", "answer", "track"}),
        stems=video_mmmu.STEMS,
        open=video_mmmu.opened,
    ),
    "vsi-bench": Benchmark(
        title="VSI-Bench",
        rule=vsi_bench.rule,
        mean_of_tasks=True,
        mean_of_parts=True,
        release=vsi_bench.release,
        release_fields=frozenset(
            {"id", "dataset", "scene_name", "question_type", "question", "ground_truth"}
        ),
    ),
    "tomato": Benchmark(
        title="TOMATO",
        rule=tomato.rule,
        release=tomato.release,
        release_fields=frozenset({"question", "options", "answer", "key", "motion_type"}),
        stems=tomato.STEMS,
        open=tomato.opened,
    ),
}
"""Those of the paper's table first, in its order; it has counterfactual questions of CLEVRER,
multiple-choice questions of MMVU, and Video-MME without subtitles."""


def named(benchmark: str) -> Benchmark:
    """The benchmark of this name; an unknown one is answered with the nearest."""
    if benchmark not in BY_NAME:
        near = difflib.get_close_matches(benchmark, BY_NAME, n=1, cutoff=0.0)[0]
        raise InputError(
            f"benchmark: {benchmark!r} is not known. Did you mean {near!r}? "
            f"Known: {', '.join(BY_NAME)}."
        )
    return BY_NAME[benchmark]

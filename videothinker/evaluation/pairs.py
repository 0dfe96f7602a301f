"""Two models on the same questions: what one gained and lost against the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from videothinker.evaluation.intervals import paired
from videothinker.evaluation.result import Result
from videothinker.evaluation.rules import Scoring


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedModels:
    """A model against the first one of its column, on the same questions."""

    benchmark: str
    first: str
    second: str
    whole: Mapping[str, Any]
    """`intervals.paired` of all questions."""
    by_category: Mapping[str, Mapping[str, Any]]

    def cells(self) -> list[str]:
        """For a terminal, without its benchmark."""
        change, low, high = (100 * self.whole[key] for key in ("difference", "low", "high"))
        return [
            f"{self.second} minus {self.first}",
            f"{change:+.1f} [{low:+.1f}, {high:+.1f}]",
            f"{self.whole['gained']}",
            f"{self.whole['lost']}",
            f"{self.whole['p']:.2g}",
        ]


def pairs_of(
    benchmark: str,
    held: Mapping[str, Result],
    marks: Mapping[int, Mapping[str, Any] | None],
    scoring: Scoring,
) -> Iterator[PairedModels]:
    """Each row of a column against its first, where both have what each question earned."""
    known = {name: found for name, one in held.items() if (found := marks[id(one)]) is not None}
    (first, base), *others = [*known.items()] or [("", {})]
    for second, other in others:
        if other["questions"] != base["questions"]:
            continue
        both = [
            (category, before, after)
            for category, before, after in zip(
                base["categories"], base[scoring], other[scoring], strict=True
            )
            if None not in (before, after)
        ]
        groups = sorted({category for category, *_ in both})
        yield PairedModels(
            benchmark=benchmark,
            first=first,
            second=second,
            whole=_paired(both),
            by_category={
                group: _paired([one for one in both if one[0] == group]) for group in groups
            },
        )


def _paired(both: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    return paired([before for _, before, _ in both], [after for *_, after in both])

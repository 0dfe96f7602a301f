"""Which groups of a step go to which rank of the learner, and with which weights in the mean."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from videothinker.model.shape import TOKENS_AT_ONCE
from videothinker.types import RolloutGroup

Dealt = list[tuple[int, float]]
"""A rank's groups, by index, each with its weight."""


def cost(group: RolloutGroup) -> int:
    """What a group costs the learner, in tokens of the language model.

    Prompt tokens count twice: nearly all of them are visual, and the vision tower's work on the
    patches of one is about the language model's work on it.
    """
    return 2 * group.prompt_tokens + sum(len(c.token_ids) for c in group.completions)


def dealt(costs: Sequence[float], ranks: int, updates: int) -> list[list[Dealt]]:
    """Of each rank its share in each of a step's updates, which take the groups in their order."""
    updates = max(1, min(updates, len(costs)))
    ends = [len(costs) * part // updates for part in range(updates + 1)]
    parts = [range(start, end) for start, end in itertools.pairwise(ends)]
    shared = [split([costs[index] for index in part], ranks) for part in parts]
    return [
        [
            [(part[place], weight) for place, weight in share[rank]]
            for part, share in zip(parts, shared, strict=True)
        ]
        for rank in range(ranks)
    ]


def split(costs: Sequence[float], ranks: int) -> list[Dealt]:
    """Deal group indices out to ranks by cost, each with its weight in the overall mean.

    The most expensive first, each to the rank with the least to do: so ranks take about equally
    long, and at each forward pass too. Ranks must run equally many of those (their collectives wait
    for each other), so a rank that comes short repeats the cheapest group with weight 0.
    """
    longest = -(-len(costs) // ranks)
    dearest_first = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    shares: list[Dealt] = [[] for _ in range(ranks)]
    work = [0.0] * ranks
    for index in dearest_first:
        open_ranks = [rank for rank in range(ranks) if len(shares[rank]) < longest]
        rank = min(open_ranks, key=lambda rank: (work[rank], rank))
        shares[rank].append((index, 1 / len(costs)))
        work[rank] += costs[index]
    padding = [(dearest_first[-1], 0.0)]
    return [share + padding * (longest - len(share)) for share in shares]


def consecutive(lengths: Sequence[int], ranks: int) -> list[range]:
    """Groups that share a forward pass, on every rank equally many or one less."""
    rows, start = list[range](), 0
    for place in range(0, len(lengths), ranks):
        row = lengths[start : place + ranks]
        if place > start and overflows(-(-len(row) // ranks), row):
            rows.append(range(start, place))
            start = place
    return [*rows, range(start, len(lengths))] if lengths else []


def is_full(row: Sequence[int], ranks: int) -> bool:
    """Whether the shortest of groups would find no room in it."""
    return len(row) % ranks == 0 and overflows(len(row) // ranks + 1, row)


def overflows(each: int, row: Sequence[int]) -> bool:
    """Whether so many groups a rank, each as long as the longest of these, are too much at once."""
    return each * max(row) > TOKENS_AT_ONCE


def dealt_in_turn(row: range, ranks: int, weight: float) -> list[Dealt]:
    """A rank that comes short repeats the last group with weight 0, to keep step with others."""
    each = -(-len(row) // ranks)
    places = [range(row.start + rank, row.start + each * ranks, ranks) for rank in range(ranks)]
    return [
        [(at, weight) if at < row.stop else (row.stop - 1, 0.0) for at in mine] for mine in places
    ]

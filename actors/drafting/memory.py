"""What usually followed what in the completions that an engine gave last.

Completions of one group grow side by side, so none is ahead of another for it to guess from; those
of the steps before say how answers begin, how they are worded and how they end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

CONTEXT = 4
"""Tokens of which the longest known run decides what follows."""
SURE = 0.5
"""A guess ends where all of it holds no more often than this: what is guessed is computed, whether
it holds or not."""
DOUBT = 1
"""Added to how often a run was seen, so that once is not enough."""
TOKENS = 32768
"""Of the completions that are kept; their runs take 50 MB where no two are alike."""

Run = tuple[int, ...]


class Memory:
    """Counts of the token after each run of up to `CONTEXT`."""

    def __init__(self, tokens: int = TOKENS) -> None:
        self._tokens = tokens
        self._after: dict[Run, dict[int, int]] = {}
        self._kept: deque[tuple[int, Sequence[int]]] = deque()
        """Each with the number of tokens that stood before it."""
        self._held = 0

    def remember(self, before: Sequence[int], completion: Sequence[int]) -> None:
        """A completion and the end of its prompt; the oldest are forgotten for it."""
        end = list(before[-CONTEXT:])
        self._kept.append((len(end), [*end, *completion]))
        self._held += len(completion)
        self._count(*self._kept[-1], 1)
        while self._held > self._tokens:
            begin, tokens = self._kept.popleft()
            self._held -= len(tokens) - begin
            self._count(begin, tokens, -1)

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """How it may go on after these, `most` tokens at most."""
        seen, guessed, sure = tuple(tokens[-CONTEXT:]), list[int](), 1.0
        while len(guessed) < most and (counts := self._longest(seen)):
            token = max(counts, key=counts.__getitem__)
            sure *= counts[token] / (sum(counts.values()) + DOUBT)
            if sure <= SURE:
                break
            guessed.append(token)
            seen = (*seen, token)[-CONTEXT:]
        return guessed

    def _longest(self, seen: Run) -> dict[int, int] | None:
        """What followed the longest end of `seen` that was there before."""
        for start in range(len(seen)):
            if counts := self._after.get(seen[start:]):
                return counts
        return None

    def _count(self, begin: int, tokens: Sequence[int], by: int) -> None:
        for place in range(begin, len(tokens)):
            token = tokens[place]
            for start in range(max(0, place - CONTEXT), place):
                run = tuple(tokens[start:place])
                counts = self._after.setdefault(run, {})
                counts[token] = counts.get(token, 0) + by
                if not counts[token]:
                    del counts[token]
                    if not counts:
                        del self._after[run]

"""What makes it impossible to draw a stage's questions as it is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from videothinker.config.draw import OWN, DrawConfig
from videothinker.config.rewards import RIGHTNESS


def check_draw(
    where: str, draw: DrawConfig, earlier: Sequence[str], rewards: Sequence[str]
) -> Iterator[str]:
    """What is said and does nothing, and what nobody can know."""
    usual = DrawConfig()
    for by, keys in OWN.items():
        for key in keys if by != draw.by else ():
            if getattr(draw, key) != getattr(usual, key):
                yield (
                    f"{where}.{key} = {getattr(draw, key)!r} has no effect with by = {draw.by!r}."
                    f" Set {where}.by to {by}, or leave it out"
                )
    if draw.by == "errors" and draw.of not in ("base", *earlier):
        yield (
            f"{where}.of = {draw.of!r}: no earlier stage of this run has that name, and no other"
            " model is ever in the run's engines to be asked. Name a stage before this one"
            " (configs/paper.yaml), or base, this stage's initial model"
        )
    if draw.by == "difficulty":
        yield from _check_difficulty(where, draw, rewards)


def _check_difficulty(where: str, draw: DrawConfig, rewards: Sequence[str]) -> Iterator[str]:
    if draw.least > draw.most:
        yield f"{where}.least = {draw.least:g} is more than {where}.most = {draw.most:g}. Swap them"
    if (draw.least, draw.most) == (0, 1):
        yield (
            f"{where}.by = 'difficulty' has no effect with least = 0 and most = 1: no question is"
            f" ever left out. Raise {where}.least or lower {where}.most"
        )
    if not {*RIGHTNESS} & {*rewards}:
        yield (
            f"{where}.by = 'difficulty': none of the rewards {', '.join(rewards)} says whether an"
            f" answer is right. Add {' or '.join(RIGHTNESS)} to rewards"
        )

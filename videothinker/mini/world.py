"""Mini CLEVRER's scenes: what stands where, what is asked about it, and which options are true.

The mover starts at one side and hits the target in its own lane. If a post grazes it on its way, it
slips into the neighbouring lane and hits what stands aside there. So taking the post away changes
what the mover hits, which makes a question about it inferential; taking away a thing that nothing
touches changes nothing, which makes the question observational. Where questions vary in how many of
their events happen, things stand behind the target and behind what is aside, and are hit in turn.
Every answer is checked by running the physics again without the removed thing.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from videothinker.mini.physics import Outcome, Thing, simulate
from videothinker.mini.settings import COLOURS, WORDINGS, World
from videothinker.types import Question

DEFAULT = World()
LANES = DEFAULT.lanes
COLUMNS = DEFAULT.columns
FRAMES = DEFAULT.frames
FPS = 2

SHAPES = ("cube", "sphere", "cylinder")
LETTERS = string.ascii_uppercase[: DEFAULT.options]

Kind = Literal["deflected", "straight", "inferential"]
"""deflected and straight are observational: the mover is grazed on its way, or it is not."""
Role = Literal["mover", "post", "aside", "target", "after_aside", "after_target", "other"]
"""The post grazes the mover, aside is what it hits then, target what it hits otherwise."""
Pair = tuple[int, int]
"""A collision that an option names: the thing that moves, and what it hits."""

_GOLDEN = (5**0.5 - 1) / 2


def negated(wording: str) -> str:
    """The wording that asks what will not happen."""
    return wording.replace("will happen", "will not happen")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One video and its question, with everything the generator knows."""

    index: int
    world: World
    kind: Kind
    things: tuple[Thing, ...]
    roles: tuple[Role, ...]
    """What part each thing plays in the video."""
    outcome: Outcome
    removed: int
    """The thing whose absence the question supposes."""
    options: tuple[Pair, ...]
    """The collisions that are offered, in the order shown."""
    answers: tuple[int, ...]
    """Positions of the true ones in options, ascending."""
    wording: int
    negated: bool = False
    """It asks what will not happen: true are the options that do not."""

    @property
    def observational(self) -> bool:
        """Whether watching the video is enough to answer."""
        return self.kind != "inferential"

    @property
    def mover(self) -> int:
        """The thing that moves by itself."""
        return self.roles.index("mover")

    @property
    def answer(self) -> int:
        """The only true option; ValueError where there are several."""
        (only,) = self.answers
        return only

    @property
    def shown(self) -> tuple[int, ...]:
        """What one would answer who takes the video for the answer: the shortcut."""
        pairs = self.outcome.pairs()
        return tuple(
            i for i, o in enumerate(self.options) if (frozenset(o) in pairs) != self.negated
        )

    @property
    def observed(self) -> int:
        """The only option that the video shows; ValueError where there are several."""
        (only,) = self.shown
        return only

    @property
    def question_text(self) -> str:
        """The question without its options."""
        wording = WORDINGS[self.wording]
        return (negated(wording) if self.negated else wording).format(
            self.things[self.removed].name
        )

    def choice_text(self, option: int) -> str:
        """One option in CLEVRER's wording."""
        mover, struck = (self.things[i].name for i in self.options[option])
        return f"The {mover} collides with the {struck}"

    def question(self) -> Question:
        """As the rest of the package sees it, identical to reading the written files."""
        letters = string.ascii_uppercase
        return Question(
            id=f"video_{self.index:05d}/q0",
            video=f"video_{self.index:05d}.mp4",
            text=self.question_text,
            options=tuple((letters[i], self.choice_text(i)) for i in range(len(self.options))),
            answer=",".join(letters[i] for i in self.answers),
            category="observational" if self.observational else "inferential",
        )


class _Form(NamedTuple):
    """What a question is to be like."""

    kind: Kind
    negated: bool
    true: int
    """How many options are true."""
    happening: int
    """How many of them happen without the removed thing."""

    @property
    def behind_aside(self) -> int:
        """How many things are hit after the one aside."""
        if self.kind == "inferential":
            return self.true - 1 if self.negated else 0
        return self.happening - 1 if self.kind == "deflected" else 0

    @property
    def behind_target(self) -> int:
        """How many things are hit after the target, when it is hit."""
        return 0 if self.kind == "deflected" else self.happening - 1


def _form(rng: np.random.Generator, kind: Kind, world: World) -> _Form:
    """Draws nothing in a world whose questions are all alike."""
    if not world.varied:
        return _Form(kind, False, 1, 1)
    will_not = bool(rng.random() < world.will_not)
    several = bool(rng.random() < world.several)
    true = int(rng.integers(2, world.options)) if several else 1
    return _Form(kind, will_not, true, world.options - true if will_not else true)


Cell = tuple[int, int]
"""Lane and column."""


def _cells(
    rng: np.random.Generator, form: _Form, world: World
) -> tuple[list[tuple[Role, Cell]], int]:
    """Where everything stands, for a mover that goes right, and towards which side the post is."""
    deflected = form.kind != "straight"
    row = max(form.behind_aside, form.behind_target, 1)
    struck = range(2, world.columns - row)
    """Columns that leave room behind a struck thing."""
    lane = int(rng.integers(world.lanes))
    beside = int(rng.choice([n for n in (lane - 1, lane + 1) if 0 <= n < world.lanes]))
    bend = int(rng.integers(1, struck[-1]))
    beyond = [c for c in struck if c > bend]
    target = int(rng.choice(beyond if deflected else struck))
    cells: list[tuple[Role, Cell]] = [("mover", (lane, 0)), ("target", (lane, target))]
    free = [(n, c) for n in range(world.lanes) for c in range(world.columns) if n != lane]
    if deflected:
        aside = int(rng.choice(beyond))
        cells += [("post", (lane, bend)), ("aside", (beside, aside))]
        cells += _behind(rng, "after_aside", (beside, aside), form.behind_aside, world)
        free = [(n, c) for n, c in free if n != beside or c < bend]
    cells += _behind(rng, "after_target", (lane, target), form.behind_target, world)
    others = rng.permutation(len(free))[: world.objects - len(cells)]
    cells += [("other", free[i]) for i in others]
    return cells, lane - beside


def _behind(
    rng: np.random.Generator, role: Role, first: Cell, count: int, world: World
) -> list[tuple[Role, Cell]]:
    """Places for things that are hit one after the other, behind the first of them."""
    if not count:
        return []
    columns = np.sort(rng.permutation(np.arange(first[1] + 1, world.columns))[:count])
    return [(role, (first[0], int(column))) for column in columns]


def _passing(cells: list[tuple[Role, Cell]]) -> set[Cell]:
    """Cells of what has to pass motion on to something behind it."""
    behind = [cell for role, cell in cells if role in ("after_aside", "after_target")]
    return {c for _, c in cells if any(b[0] == c[0] and b[1] > c[1] for b in behind)}


def _things(rng: np.random.Generator, form: _Form, world: World) -> list[tuple[Role, Thing]]:
    """A scene's things, in random order; each of its own colour."""
    cells, side = _cells(rng, form, world)
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
    if form.kind == "straight":
        colours = [*colours[:2], *colours[4:], *colours[2:4]]
    flip = bool(rng.integers(2))
    ends = {cell for role, cell in cells if role != "mover"} - _passing(cells)
    made: list[tuple[Role, Thing]] = []
    for (role, cell), colour in zip(cells, colours, strict=False):
        offset = int(rng.integers(-1, 2)) if role == "other" else 0
        thing = Thing(
            colour=colour,
            shape=SHAPES[rng.integers(len(SHAPES))],
            lane=cell[0],
            column=world.columns - 1 - cell[1] if flip else cell[1],
            offset=side if role == "post" else offset,
            velocity=(-1 if flip else 1) if role == "mover" else 0,
        )
        if world.heavy and cell in ends and rng.random() < world.heavy:
            thing = replace(thing, material="metal")
        made.append((role, thing))
    return [made[i] for i in rng.permutation(len(made))]


class _Asked(NamedTuple):
    """A question before its options are put in random order."""

    removed: int
    options: list[Pair]
    true: list[bool]


def _ask_plainly(
    rng: np.random.Generator, form: _Form, roles: tuple[Role, ...], count: int
) -> _Asked:
    """What the mover hits first: one option happens, and the mover is named first in all."""
    others = [i for i, role in enumerate(roles) if role == "other"]
    others = [others[i] for i in rng.permutation(len(others))]
    mover, target = roles.index("mover"), roles.index("target")
    if form.kind == "straight":
        removed, named = others[count - 1], [target, *others]
    elif form.kind == "deflected":
        removed, named = others[count - 2], [roles.index("aside"), target, *others]
    else:
        removed, named = roles.index("post"), [target, roles.index("aside"), *others]
    return _Asked(removed, [(mover, i) for i in named[:count]], [True] + [False] * (count - 1))


def _ask_variedly(
    rng: np.random.Generator,
    form: _Form,
    roles: tuple[Role, ...],
    things: tuple[Thing, ...],
    world: World,
) -> _Asked:
    """As many events that happen as the form says; the rest are prevented ones and inventions."""
    inferential = form.kind == "inferential"
    others = [i for i, role in enumerate(roles) if role == "other"]
    removed = roles.index("post") if inferential else int(rng.choice(others))
    happening = [(e.mover, e.struck) for e in simulate(things, world, without=removed).events]
    video = [(e.mover, e.struck) for e in simulate(things, world).events]
    prevented = [pair for pair in video if pair not in happening and removed not in pair]
    subjects = dict.fromkeys(subject for subject, _ in happening + prevented)
    subjects[happening[0][1]] = None
    real = [set(pair) for pair in happening + video]
    invented = [
        (subject, i)
        for subject in subjects
        for i in range(len(things))
        if i not in (subject, removed, roles.index("mover")) and {subject, i} not in real
    ]
    invented = [invented[i] for i in rng.permutation(len(invented))]
    chosen = [happening[i] for i in rng.permutation(len(happening))[: form.happening]]
    rest = [*(prevented if form.negated else prevented[:1]), *invented]
    true = [not form.negated] * len(chosen)
    true += [form.negated] * (world.options - len(chosen))
    return _Asked(removed, [*chosen, *rest[: world.options - len(chosen)]], true)


def kind_of(seed: int, index: int, world: World = DEFAULT) -> Kind:
    """Which kind a scene is: spread evenly, so that any stretch of scenes has the stated shares."""
    start = float(np.random.default_rng(seed).random())
    position = (start + index * _GOLDEN) % 1.0
    if position < world.observational / 2:
        return "deflected"
    return "straight" if position < world.observational else "inferential"


def make_scene(seed: int, index: int, kind: Kind | None = None, world: World = DEFAULT) -> Scene:
    """The scene with this number; the same arguments give the same scene."""
    rng = np.random.default_rng([seed, index])
    form = _form(rng, kind or kind_of(seed, index, world), world)
    while True:
        roles, things = zip(*_things(rng, form, world), strict=True)
        scene = _ask(rng, index, form, things, roles, world)
        if is_sound(scene):
            return scene


def ask(
    rng: np.random.Generator,
    index: int,
    kind: Kind,
    things: tuple[Thing, ...],
    roles: tuple[Role, ...],
) -> Scene:
    """A question of this kind about these things of a default world; a video can take several."""
    return _ask(rng, index, _Form(kind, False, 1, 1), things, roles, DEFAULT)


def _ask(
    rng: np.random.Generator,
    index: int,
    form: _Form,
    things: tuple[Thing, ...],
    roles: tuple[Role, ...],
    world: World,
) -> Scene:
    if world.varied:
        asked = _ask_variedly(rng, form, roles, things, world)
    else:
        asked = _ask_plainly(rng, form, roles, world.options)
    order = rng.permutation(world.options)
    return Scene(
        index=index,
        world=world,
        kind=form.kind,
        things=things,
        roles=roles,
        outcome=simulate(things, world),
        removed=asked.removed,
        options=tuple(asked.options[i] for i in order),
        answers=tuple(place for place, i in enumerate(order) if asked.true[i]),
        wording=int(rng.integers(world.wordings)),
        negated=form.negated,
    )


def is_sound(scene: Scene) -> bool:
    """Whether physics and question agree, and all readings of "observational" with each other.

    True are exactly the options that happen without the removed thing (that do not, if asked for
    those). The video shows exactly these in an observational question, whose removed thing nothing
    touches, and none of them in an inferential one, whose removed thing is hit before the options'
    last event.
    """
    asked = [frozenset(option) for option in scene.options]
    happens = simulate(scene.things, scene.world, without=scene.removed).pairs()
    true = tuple(i for i, pair in enumerate(asked) if (pair in happens) != scene.negated)
    if true != scene.answers or len(set(asked)) < len(asked):
        return False
    touched = [e.frame for e in scene.outcome.events if scene.removed in (e.mover, e.struck)]
    if scene.observational:
        return scene.shown == true and not touched
    last = max((scene.outcome.first(pair) or 0 for pair in asked), default=0)
    return bool(touched) and touched[0] <= last and not set(scene.shown) & set(true)

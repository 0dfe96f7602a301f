"""Mini CLEVRER's physics and questions: three lanes, five columns, six frames, exact ground truth.

One mover advances a cell a frame. A centred object that it hits takes over its motion; an object
that stands off-centre is only grazed: it is nudged aside and the mover slips into the neighbouring
lane. So taking the grazed object away changes what the mover hits, which makes a question about it
inferential; taking away an object that nothing touches changes nothing, which makes the question
observational. Every answer is checked by running the physics again without the object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from videothinker.types import Question

LANES = 3
COLUMNS = 5
FRAMES = 6
FPS = 2

COLOURS = ("red", "blue", "green", "yellow", "cyan", "purple", "brown", "gray")
SHAPES = ("cube", "sphere", "cylinder")
MATERIAL = "rubber"
LETTERS = "ABC"
WORDINGS = (
    "What will happen if the {} is removed?",
    "Which event will happen if the {} is removed?",
    "What will happen without the {}?",
    "Which event will happen without the {}?",
    "If the {} is removed, what will happen?",
    "If the {} is removed, which event will happen?",
    "Without the {}, what will happen?",
    "Without the {}, which event will happen?",
    "Which of the following will happen if the {} is removed?",
    "Which of the following will happen without the {}?",
    "If the {} is removed, which of the following will happen?",
    "Without the {}, which of the following will happen?",
)
"""All that CLEVRER has; "will happen" becomes "will not happen" in questions about that."""
_PLAIN_WORDINGS = 4


def negated(wording: str) -> str:
    """The wording that asks what will not happen."""
    return wording.replace("will happen", "will not happen")


Kind = Literal["deflected", "straight", "inferential"]
"""deflected and straight are observational: the mover is grazed on its way, or it is not."""
Role = Literal["mover", "post", "aside", "target", "other"]
"""The post grazes the mover, aside is what it hits then, target what it hits otherwise."""
SHARES: dict[Kind, float] = {"deflected": 0.37, "straight": 0.37, "inferential": 0.26}

_GOLDEN = (5**0.5 - 1) / 2
_STRUCK_COLUMNS = (2, 3)
"""Where struck objects stand: their motion then shows within one pair of frames, a video token."""


class Event(NamedTuple):
    """One collision: when, and between which two things (indices, the moving one first)."""

    frame: int
    mover: int
    struck: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """An object as it stands before the first frame."""

    colour: str
    shape: str
    lane: int
    column: int
    offset: int = 0
    """-1 or 1: off-centre towards the lane above or below, so that a hit only grazes it."""
    velocity: int = 0
    """Columns a frame."""

    @property
    def name(self) -> str:
        """How questions call it; unique, since colours are."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What happens in one run of the physics."""

    lanes: np.ndarray
    """[FRAMES, things] int64."""
    columns: np.ndarray
    """[FRAMES, things] int64."""
    velocities: np.ndarray
    """[FRAMES, things] int64: columns a frame."""
    nudges: np.ndarray
    """[FRAMES, things] int64: direction in which a grazing hit has pushed the thing, 0 before."""
    visible: np.ndarray
    """[FRAMES, things] bool: neither taken away nor out of the picture."""
    events: tuple[Event, ...]

    def pairs(self) -> set[frozenset[int]]:
        """Which things collide with each other, whenever that is."""
        return {frozenset((event.mover, event.struck)) for event in self.events}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One video and its question, with everything the generator knows."""

    index: int
    kind: Kind
    things: tuple[Thing, ...]
    roles: tuple[Role, ...]
    """What part each thing plays in the video."""
    outcome: Outcome
    removed: int
    """The thing whose absence the question supposes."""
    mover: int
    options: tuple[int, ...]
    """What the mover is said to hit, in the order shown."""
    answer: int
    """Position of the true one in options."""
    wording: int

    @property
    def observational(self) -> bool:
        """Whether watching the video is enough to answer."""
        return self.kind != "inferential"

    @property
    def question_text(self) -> str:
        """The question without its options."""
        return WORDINGS[self.wording].format(self.things[self.removed].name)

    def choice_text(self, option: int) -> str:
        """One option in CLEVRER's wording."""
        mover, struck = self.things[self.mover], self.things[self.options[option]]
        return f"The {mover.name} collides with the {struck.name}"

    @property
    def observed(self) -> int:
        """Position in options of what the mover hits in the video: the shortcut's answer."""
        pairs = self.outcome.pairs()
        return next(i for i, o in enumerate(self.options) if frozenset((self.mover, o)) in pairs)

    def question(self) -> Question:
        """As the rest of the package sees it, identical to reading the written files."""
        return Question(
            id=f"video_{self.index:05d}/q0",
            video=f"video_{self.index:05d}.mp4",
            text=self.question_text,
            options=tuple((LETTERS[i], self.choice_text(i)) for i in range(len(self.options))),
            answer=LETTERS[self.answer],
            category="observational" if self.observational else "inferential",
        )


@dataclass
class _Run:
    """The state of one run of the physics, a frame at a time."""

    lane: list[int]
    column: list[int]
    velocity: list[int]
    offset: list[int]
    nudge: list[int]
    visible: list[bool]
    events: list[Event] = field(default_factory=list)

    def occupant(self, lane: int, column: int) -> int | None:
        """The visible thing in a cell."""
        for i, visible in enumerate(self.visible):
            if visible and self.lane[i] == lane and self.column[i] == column:
                return i
        return None

    def advance(self, i: int, lane: int, frame: int) -> None:
        """Thing i goes on to its next column in the given lane, or hits what stands there."""
        column = self.column[i] + self.velocity[i]
        if not 0 <= column < COLUMNS:
            self.visible[i], self.velocity[i] = False, 0
            return
        struck = self.occupant(lane, column)
        if struck is None:
            self.lane[i], self.column[i] = lane, column
            return
        self.events.append(Event(frame, i, struck))
        aside = lane - self.offset[struck]
        if self.offset[struck] and lane == self.lane[i] and 0 <= aside < LANES:
            self.nudge[struck] = self.velocity[i]
            self.advance(i, aside, frame)
            return
        self.velocity[i], self.velocity[struck] = 0, self.velocity[i]
        self.advance(struck, self.lane[struck], frame)


def simulate(things: tuple[Thing, ...], without: int | None = None) -> Outcome:
    """Run the physics over all frames, if asked without one of the things."""
    run = _Run(
        lane=[t.lane for t in things],
        column=[t.column for t in things],
        velocity=[t.velocity for t in things],
        offset=[t.offset for t in things],
        nudge=[0] * len(things),
        visible=[i != without for i in range(len(things))],
    )
    shape = (FRAMES, len(things))
    lanes, columns, velocities, nudges = (np.zeros(shape, np.int64) for _ in range(4))
    visible = np.zeros(shape, bool)
    for frame in range(FRAMES):
        if frame:
            for i in [j for j, v in enumerate(run.velocity) if v and run.visible[j]]:
                run.advance(i, run.lane[i], frame)
        lanes[frame], columns[frame], velocities[frame] = run.lane, run.column, run.velocity
        nudges[frame], visible[frame] = run.nudge, run.visible
    return Outcome(
        lanes=lanes,
        columns=columns,
        velocities=velocities,
        nudges=nudges,
        visible=visible,
        events=tuple(run.events),
    )


class _Places(NamedTuple):
    """Cells (lane, column) of one layout, for a mover that goes right; None where absent."""

    mover: tuple[int, int]
    target: tuple[int, int]
    """Centred, in the mover's own lane."""
    post: tuple[int, int] | None
    aside: tuple[int, int] | None
    """Centred, in the lane that a grazed mover slips into."""
    others: list[tuple[int, int]]
    offset: int


def _places(rng: np.random.Generator, deflected: bool) -> _Places:
    """Where everything stands; nothing but the mover's way is decided here."""
    lane = int(rng.integers(LANES))
    beside = int(rng.choice([n for n in (lane - 1, lane + 1) if 0 <= n < LANES]))
    bend = int(rng.integers(1, 3))
    beyond = [c for c in _STRUCK_COLUMNS if c > bend]
    target = (lane, int(rng.choice(beyond if deflected else _STRUCK_COLUMNS)))
    aside = (beside, int(rng.choice(beyond))) if deflected else None
    free = [(row, c) for row in range(LANES) for c in range(COLUMNS) if row != lane]
    if deflected:
        free = [(row, c) for row, c in free if row != beside or c < bend]
    count = 2 if deflected else 4
    others = [free[i] for i in rng.permutation(len(free))[:count]]
    post = (lane, bend) if deflected else None
    return _Places((lane, 0), target, post, aside, others, lane - beside)


def _things(rng: np.random.Generator, places: _Places) -> list[tuple[Role, Thing]]:
    """Give every place a thing of its own colour, in random order."""
    cells: list[tuple[Role, tuple[int, int] | None]] = [
        ("mover", places.mover),
        ("target", places.target),
        ("post", places.post),
        ("aside", places.aside),
        *(("other", cell) for cell in places.others),
    ]
    colours = rng.permutation(len(COLOURS))
    flip = bool(rng.integers(2))
    made: list[tuple[Role, Thing]] = []
    for (role, cell), colour in zip(cells, colours, strict=False):
        if cell is None:
            continue
        offset = int(rng.integers(-1, 2)) if role == "other" else 0
        thing = Thing(
            colour=COLOURS[colour],
            shape=SHAPES[rng.integers(len(SHAPES))],
            lane=cell[0],
            column=COLUMNS - 1 - cell[1] if flip else cell[1],
            offset=places.offset if role == "post" else offset,
            velocity=(-1 if flip else 1) if role == "mover" else 0,
        )
        made.append((role, thing))
    return [made[i] for i in rng.permutation(len(made))]


def _asked(
    rng: np.random.Generator, kind: Kind, roles: tuple[Role, ...]
) -> tuple[int, list[int], int]:
    """Which thing is removed, what the three options name, and which of them is true."""
    others = [i for i, role in enumerate(roles) if role == "other"]
    others = [others[i] for i in rng.permutation(len(others))]
    target = roles.index("target")
    if kind == "inferential":
        return roles.index("post"), [target, roles.index("aside"), others[0]], target
    if kind == "deflected":
        aside = roles.index("aside")
        return others[1], [aside, target, others[0]], aside
    return others[2], [target, others[0], others[1]], target


def kind_of(seed: int, index: int) -> Kind:
    """Which kind a scene is: spread evenly, so that any stretch of scenes has the stated shares."""
    start = float(np.random.default_rng(seed).random())
    position = (start + index * _GOLDEN) % 1.0
    for kind, share in SHARES.items():
        if position < share:
            return kind
        position -= share
    return "inferential"


def make_scene(seed: int, index: int, kind: Kind | None = None) -> Scene:
    """The scene with this number; the same arguments give the same scene."""
    kind = kind or kind_of(seed, index)
    rng = np.random.default_rng([seed, index])
    while True:
        roles, things = zip(*_things(rng, _places(rng, deflected=kind != "straight")), strict=True)
        scene = ask(rng, index, kind, things, roles)
        if is_sound(scene):
            return scene


def ask(
    rng: np.random.Generator,
    index: int,
    kind: Kind,
    things: tuple[Thing, ...],
    roles: tuple[Role, ...],
) -> Scene:
    """A question of this kind about these things; a video can take several."""
    removed, options, true = _asked(rng, kind, roles)
    options = [options[i] for i in rng.permutation(len(options))]
    return Scene(
        index=index,
        kind=kind,
        things=things,
        roles=roles,
        outcome=simulate(things),
        removed=removed,
        mover=roles.index("mover"),
        options=tuple(options),
        answer=options.index(true),
        wording=int(rng.integers(_PLAIN_WORDINGS)),
    )


def is_sound(scene: Scene) -> bool:
    """Whether exactly the stated option happens without the removed thing, and one in the video."""
    asked = [frozenset((scene.mover, option)) for option in scene.options]
    happens = simulate(scene.things, without=scene.removed).pairs()
    observed = scene.outcome.pairs()
    return (
        [pair in happens for pair in asked] == [i == scene.answer for i in range(len(asked))]
        and sum(pair in observed for pair in asked) == 1
        and (asked[scene.answer] in observed) == scene.observational
    )

"""Worlds over the range of the knobs, for tests of what holds in all of them."""

from videothinker.mini.settings import World

WORLDS = [
    World(),
    World(objects=8, frames=8),
    World(objects=7, observational=0.0),
    World(observational=1.0, frames=32),
    World(objects=8, observational=0.5),
]

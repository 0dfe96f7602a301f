"""Worlds over the range of the knobs, for tests of what holds in all of them."""

from videothinker.mini.settings import World

WORLDS = [
    World(),
    World(objects=8, lanes=4, columns=6, frames=8, wordings=12),
    World(lanes=8, columns=12, frames=12, heavy=0.5),
    World(will_not=1.0),
    World(several=1.0),
    World(will_not=1.0, several=1.0, observational=0.5),
    World(objects=8, heavy=1.0, several=0.5, will_not=0.5, occlusion=1.0),
    World(objects=8, options=5, columns=6, several=0.5, will_not=0.5),
    World(objects=7, options=4, observational=0.0, several=0.5, will_not=0.5, heavy=0.3),
    World(objects=8, options=4, observational=1.0, several=0.5, will_not=0.5, frames=32),
    World(options=5, columns=6, objects=8),
]

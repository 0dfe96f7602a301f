"""What stands in front of mini CLEVRER's cells and hides them, where a world asks for occlusion.

A screen covers a cell for two frames, a video token. What stays in sight, at any level:

- the first two frames as a whole, so that it is known what there is, where it stands what moves;
- both things of every collision, in the frame before it and in the frame in which it happens.

So the question can always be answered. What is hidden is how
things stand in between and afterwards.
"""

from __future__ import annotations

import numpy as np

from videothinker.mini.world import Scene

SPAN = 2
"""Frames that a screen stays, and that make a video token."""
_STREAM = 1
"""Tells the draws for screens from those for the scene itself, which is the same at every level."""


def hidden_cells(scene: Scene, seed: int) -> np.ndarray:
    """[frames, lanes, columns] bool: behind a screen."""
    world, outcome = scene.world, scene.outcome
    shape = (world.frames // SPAN, world.lanes, world.columns)
    hidden = np.random.default_rng([seed, scene.index, _STREAM]).random(shape) < world.occlusion
    hidden[0] = False
    for event in scene.outcome.events:
        for frame in (event.frame - 1, event.frame):
            for i in (event.mover, event.struck):
                cell = outcome.lanes[frame, i], outcome.columns[frame, i]
                hidden[(frame // SPAN, *cell)] = False
    return np.repeat(hidden, SPAN, axis=0)

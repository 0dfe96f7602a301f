"""Pixels travel as the bytes that they are, and are normalised where they are used.

To the last bit as a model's own processor does it, which has no other order: it takes a mean from
every number of a channel and divides by a spread, and what is cut into patches only moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from videothinker.types import Colours

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RAW = {"do_rescale": False, "do_normalize": False}
"""How a processor is asked for bytes."""


def colours_of(processor: Any) -> Colours | None:
    """What a processor normalises pictures and videos by; None where what it makes of them is not
    what `normalised` makes of its bytes: where it resizes in other numbers than bytes, say, or has
    two sorts of colours. It is tried out on noise, which it resizes as well.
    """
    import torch

    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8)
    frames = torch.from_numpy(noise)
    films = {"videos": [frames], "do_sample_frames": False}
    found = set()
    for part, name, given in (
        (processor.image_processor, "pixel_values", {"images": [frames[0]]}),
        (processor.video_processor, "pixel_values_videos", films),
    ):
        if not (part.do_rescale and part.do_normalize):
            return None
        whole = 1.0 / part.rescale_factor  # both at once, as it does
        means, spreads = (torch.tensor(some) * whole for some in (part.image_mean, part.image_std))
        colours = Colours(means=tuple(means.tolist()), spreads=tuple(spreads.tolist()))
        raw, wanted = (part(**given, **how, return_tensors="pt")[name] for how in (RAW, {}))
        if raw.ndim == 5:  # pictures, or videos, of several frames each
            raw, wanted = raw[0], wanted[0]
        if raw.dtype != torch.uint8 or not torch.equal(normalised(raw.numpy(), colours), wanted):
            return None
        found.add(colours)
    return found.pop() if len(found) == 1 else None


def normalised(
    pixels: np.ndarray, colours: Colours | None, device: torch.device | str = "cpu"
) -> Tensor:
    """A prompt's pixels as a model takes them, of the same shape, in memory of their own."""
    import torch

    values: Tensor = torch.tensor(pixels, device=device)  # bytes go there, and not four times that
    if colours is None:
        return values
    means, spreads = (
        torch.tensor(some, dtype=torch.float32, device=device)[:, None]
        for some in (colours.means, colours.spreads)
    )
    wide = values.flatten(1)
    by_channel = wide.view(len(wide), len(means), wide.shape[1] // len(means))
    # by tensors: to divide by a number is to multiply on a GPU, which rounds otherwise
    return (by_channel - means).div_(spreads).view(values.shape)

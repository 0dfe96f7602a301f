"""What the warm start asks of hidden states and attention, beside the next token.

Reading a colour word, finding that object in the video, judging an option and coming back to its
letter are four steps that a random model discovers late and by luck when only the last is graded.
Here each step is graded where it can be made: linear probes ask a layer for a fact, and a gaze
loss asks one head of a layer to look at the right tokens. Probes are thrown away afterwards.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, rms_norm
from transformers import PreTrainedTokenizerBase

from videothinker.mini.base.lessons import IGNORE, ROLES, SLOTS, Lessons
from videothinker.mini.render import GRID, TEMPORAL
from videothinker.mini.settings import COLOURS, COLUMNS, LANES
from videothinker.mini.world import LETTERS

Angles = tuple[Tensor, Tensor]
"""Cosine and sine [B, L, D] of every token's angles."""
LOOKING_HEAD, MATCHING_HEAD, NAMING_HEAD = 0, 1, 2
_CONTENT_WEIGHT = 4.0
"""Colours and letters against words that any answer has."""
_CELLS = LANES * COLUMNS


class Gaze(NamedTuple):
    """One head of one layer, and for each token [B, L, L] the tokens it should look at."""

    layer: int
    head: int
    target: Tensor


class Seen(NamedTuple):
    """What the vision tower makes of videos."""

    tokens: Tensor
    """[B, V, hidden]."""
    deep: list[Tensor]
    """The same of what is added after each of the first layers, where a family does that."""


class LayerInputs(NamedTuple):
    """What the language model makes of rows."""

    hidden: list[Tensor]
    """[B, L, hidden] before each of its layers, and normed after the last."""
    rotation: Angles


class Probes(nn.Module):
    """Linear read-outs, and the token ids that the losses need."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.colours = nn.Linear(hidden, TEMPORAL * (1 + len(COLOURS)))
        self.cells = nn.Linear(hidden, _CELLS)
        self.glimpses = nn.Linear(hidden, len(ROLES))
        self.cell_roles = nn.Linear(hidden, len(ROLES))
        self.slots = nn.Linear(hidden, 1 + max(SLOTS))
        self.named_roles = nn.Linear(hidden, len(ROLES))
        self.recalls = nn.Linear(hidden, len(COLOURS))
        self.verdicts = nn.Linear(hidden, 4)
        words = [tokenizer.convert_tokens_to_ids("\u0120" + colour) for colour in COLOURS]
        letters = [tokenizer.convert_tokens_to_ids(letter) for letter in LETTERS]
        hues, weight = torch.full((vocabulary,), -1), torch.ones(vocabulary)
        hues[words] = torch.arange(len(COLOURS))
        weight[words + letters] = _CONTENT_WEIGHT
        self.words: Tensor = nn.Buffer(torch.tensor(words))
        self.hues: Tensor = nn.Buffer(hues)
        self.weight: Tensor = nn.Buffer(weight)


def see(model: Any, pixels: Tensor) -> Seen:
    """The vision tower's tokens."""
    grids = torch.tensor([GRID] * len(pixels))
    found = model.model.visual(pixels.flatten(0, 1), grid_thw=grids)
    features = [found.pooler_output, *getattr(found, "deepstack_features", ())]
    tokens, *deep = (part.view(len(pixels), -1, part.shape[-1]) for part in features)
    return Seen(tokens, deep)


def looking_losses(model: Any, probes: Probes, lessons: Lessons, seen: Tensor) -> dict[str, Tensor]:
    """What each video token alone should say; colours also in the words' own embeddings."""
    early, late = lessons.cell_colours.unbind(-1)
    shown = torch.where(early > 0, early, late)
    held = shown > 0
    words = model.get_input_embeddings().weight[probes.words]
    likeness = rms_norm(seen[held], (seen.shape[-1],)) @ words.T
    places = torch.arange(_CELLS).repeat(len(seen) * GRID[0])
    return {
        "words": cross_entropy(likeness, shown[held] - 1),
        "colours": cross_entropy(
            probes.colours(seen).unflatten(-1, (TEMPORAL, -1)).flatten(0, 2),
            lessons.cell_colours.flatten(),
        ),
        "cells": cross_entropy(probes.cells(seen).flatten(0, 1), places),
        "glimpses": cross_entropy(
            probes.glimpses(seen).flatten(0, 1), lessons.cell_roles.flatten()
        ),
    }


def losses(model: Any, probes: Probes, lessons: Lessons) -> dict[str, Tensor]:
    """The next-token loss under "text", and one for everything else that is asked."""
    seen = see(model, lessons.pixels)
    is_video = video_tokens(model, lessons)
    reading = read(model, lessons, seen)
    hidden = reading.hidden

    def ask(probe: nn.Module, layer: int, labels: Tensor) -> Tensor:
        asked = labels != IGNORE
        return cross_entropy(probe(hidden[layer][asked]), labels[asked])

    taught = lessons.labels != IGNORE
    logits = model.lm_head(hidden[-1][taught])
    cell_roles = torch.full_like(lessons.labels, IGNORE)
    cell_roles[is_video] = lessons.cell_roles.flatten()
    text = cross_entropy(logits, lessons.labels[taught], weight=probes.weight)
    return {
        "text": text,
        **looking_losses(model, probes, lessons, seen.tokens),
        "cell_roles": ask(probes.cell_roles, 1, cell_roles),
        "slots": ask(probes.slots, 1, lessons.slots),
        "named_roles": ask(probes.named_roles, 2, lessons.named_roles),
        "recalls": ask(probes.recalls, 2, lessons.recalls),
        "verdicts": ask(probes.verdicts, 3, lessons.verdicts),
        **{
            f"gaze_{name}": gaze_loss(model, reading, lessons.mask, gaze)
            for name, gaze in gazes(probes, lessons, is_video).items()
        },
    }


def video_tokens(model: Any, lessons: Lessons) -> Tensor:
    """[B, L] bool."""
    found: Tensor = lessons.token_ids == model.config.video_token_id
    return found


def read(model: Any, lessons: Lessons, seen: Seen) -> LayerInputs:
    """Layer by layer: transformers tells of none what deep features make of its output."""
    language, places = model.model.language_model, video_tokens(model, lessons)[..., None]
    hidden = model.get_input_embeddings()(lessons.token_ids).masked_scatter(places, seen.tokens)
    rotation = language.rotary_emb(hidden, lessons.positions)
    states = []
    for layer, features in zip_longest(language.layers, seen.deep):
        states.append(hidden)
        hidden = layer(hidden, attention_mask=lessons.mask, position_embeddings=rotation)
        if features is not None:
            hidden = hidden + torch.zeros_like(hidden).masked_scatter(places, features)
    return LayerInputs([*states, language.norm(hidden)], rotation)


def gazes(probes: Probes, lessons: Lessons, is_video: Tensor) -> dict[str, Gaze]:
    """Where heads should look: words at the video, answers at the options."""
    word = probes.hues[lessons.token_ids]
    in_name = lessons.slots != IGNORE
    before = torch.cat([word[:, :1], word[:, :-1]], dim=1)
    name = torch.where(in_name, torch.maximum(word, before), -1)
    shown = torch.full((*word.shape, TEMPORAL), -1)
    shown[is_video] = lessons.cell_colours.flatten(0, 1) - 1
    look = (word[:, :, None, None] == shown[:, None]).any(-1) & (in_name & (word >= 0))[..., None]
    due = torch.where(lessons.labels >= 0, probes.hues[lessons.labels.clamp(min=0)], -1)
    copy = (due[..., None] == name[:, None]) & (due >= 0)[..., None]
    option = in_name & (word < 0) & (lessons.slots > 1)
    recall = (lessons.recalls[..., None] == name[:, None]) & option[:, None]
    removed = (lessons.slots == 0)[:, None]
    return {
        "look": Gaze(0, LOOKING_HEAD, look),
        "look_again": Gaze(1, LOOKING_HEAD, look),
        "suppose": Gaze(2, LOOKING_HEAD, option[..., None] & removed),
        "recall": Gaze(2, MATCHING_HEAD, recall & (lessons.recalls >= 0)[..., None]),
        "copy": Gaze(3, NAMING_HEAD, copy),
    }


def gaze_loss(model: Any, reading: LayerInputs, mask: Tensor, gaze: Gaze) -> Tensor:
    """-log of the attention that falls on the target, over the tokens that have one."""
    block, mask = model.model.language_model.layers[gaze.layer], mask[:, 0]
    attention = block.self_attn
    x = block.input_layernorm(reading.hidden[gaze.layer])
    query = turned(head_of(attention, "q", gaze.head, x), reading.rotation)
    key = turned(head_of(attention, "k", gaze.head, x), reading.rotation)
    scores = (query @ key.transpose(1, 2)) * attention.scaling
    target = gaze.target & mask
    asked = target.any(-1)
    everywhere = scores.masked_fill(~mask, -torch.inf)[asked].logsumexp(-1)
    there = scores.masked_fill(~target, -torch.inf)[asked].logsumexp(-1)
    missed: Tensor = (everywhere - there).mean()
    return missed


def head_of(attention: Any, kind: Literal["q", "k"], head: int, x: Tensor) -> Tensor:
    """[B, L, D]: one head's queries or keys; in some families they have biases, in some norms."""
    projection = getattr(attention, f"{kind}_proj")
    norm = getattr(attention, f"{kind}_norm", nn.Identity())
    part = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    bias = None if projection.bias is None else projection.bias[part]
    states: Tensor = norm(linear(x, projection.weight[part], bias))
    return states


def turned(states: Tensor, rotation: Angles) -> Tensor:
    """By each token's angles."""
    cosine, sine = rotation
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-second, first], dim=-1) * sine

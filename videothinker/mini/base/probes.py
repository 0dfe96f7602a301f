"""What the warm start asks of hidden states and attention, beside the next token.

Reading a colour word, finding that object in the video, judging an option and coming back to its
letter are four steps that a random model discovers late and by luck when only the last is graded.
Here each step is graded where it can be made: linear probes ask a layer for a fact, and a gaze
loss asks one head of a layer to look at the right tokens. Probes are thrown away afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, rms_norm
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

from videothinker.mini.base.lessons import IGNORE, ROLES, SLOTS, Lessons
from videothinker.mini.render import GRID, TEMPORAL
from videothinker.mini.settings import COLOURS, COLUMNS, LANES
from videothinker.mini.world import LETTERS

LOOKING_HEAD, MATCHING_HEAD, NAMING_HEAD = 0, 1, 2
_CONTENT_WEIGHT = 4.0
"""Colours and letters against words that any answer has."""
_CELLS = LANES * COLUMNS


class Gaze(NamedTuple):
    """One head of one layer, and for each token [B, L, L] the tokens it should look at."""

    layer: int
    head: int
    target: Tensor


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


def see(model: Qwen2_5_VLForConditionalGeneration, pixels: Tensor) -> Tensor:
    """[B, V, hidden]: the vision tower's tokens."""
    grids = torch.tensor([GRID] * len(pixels))
    tokens: Tensor = model.model.visual(pixels.flatten(0, 1), grid_thw=grids).pooler_output
    return tokens.view(len(pixels), -1, tokens.shape[-1])


def looking_losses(
    model: Qwen2_5_VLForConditionalGeneration, probes: Probes, lessons: Lessons, seen: Tensor
) -> dict[str, Tensor]:
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


def losses(
    model: Qwen2_5_VLForConditionalGeneration, probes: Probes, lessons: Lessons
) -> dict[str, Tensor]:
    """The next-token loss under "text", and one for everything else that is asked."""
    seen = see(model, lessons.pixels)
    embeds = model.get_input_embeddings()(lessons.token_ids)
    is_video = lessons.token_ids == model.config.video_token_id
    embeds = embeds.masked_scatter(is_video[..., None], seen)
    states = model.model.language_model(
        inputs_embeds=embeds,
        position_ids=lessons.positions,
        attention_mask={"full_attention": lessons.mask},
        use_cache=False,
        output_hidden_states=True,
    )
    hidden: tuple[Tensor, ...] = states.hidden_states

    def ask(probe: nn.Module, layer: int, labels: Tensor) -> Tensor:
        asked = labels != IGNORE
        return cross_entropy(probe(hidden[layer][asked]), labels[asked])

    taught = lessons.labels != IGNORE
    logits = model.lm_head(states.last_hidden_state[taught])
    cell_roles = torch.full_like(lessons.labels, IGNORE)
    cell_roles[is_video] = lessons.cell_roles.flatten()
    text = cross_entropy(logits, lessons.labels[taught], weight=probes.weight)
    return {
        "text": text,
        **looking_losses(model, probes, lessons, seen),
        "cell_roles": ask(probes.cell_roles, 1, cell_roles),
        "slots": ask(probes.slots, 1, lessons.slots),
        "named_roles": ask(probes.named_roles, 2, lessons.named_roles),
        "recalls": ask(probes.recalls, 2, lessons.recalls),
        "verdicts": ask(probes.verdicts, 3, lessons.verdicts),
        **{
            f"gaze_{name}": gaze_loss(model, hidden, lessons, gaze)
            for name, gaze in gazes(probes, lessons, is_video).items()
        },
    }


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


def gaze_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    hidden: tuple[Tensor, ...],
    lessons: Lessons,
    gaze: Gaze,
) -> Tensor:
    """-log of the attention that falls on the target, over the tokens that have one."""
    language = model.model.language_model
    block, mask = language.layers[gaze.layer], lessons.mask[:, 0]
    attention = block.self_attn
    part = slice(gaze.head * attention.head_dim, (gaze.head + 1) * attention.head_dim)
    x = block.input_layernorm(hidden[gaze.layer])
    query, key = (
        linear(x, projection.weight[part], projection.bias[part])[:, None]
        for projection in (attention.q_proj, attention.k_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *language.rotary_emb(x, lessons.positions))
    scores = (query @ key.transpose(2, 3))[:, 0] * attention.scaling
    target = gaze.target & mask
    asked = target.any(-1)
    everywhere = scores.masked_fill(~mask, -torch.inf)[asked].logsumexp(-1)
    there = scores.masked_fill(~target, -torch.inf)[asked].logsumexp(-1)
    missed: Tensor = (everywhere - there).mean()
    return missed

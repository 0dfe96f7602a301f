"""The planted warm start of the mini base model.

Real models come to reinforcement learning with habits; a random one has none, so they are planted
here, openly: answers in the required format, half worded as the shortcut (what the video shows) and
half as reasoning (what happens without the object), with auxiliary heads that are thrown away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration

from videothinker.mini.lessons import IGNORE, ROLES, LessonMaker, Lessons
from videothinker.mini.render import GRID, TEMPORAL
from videothinker.mini.world import COLOURS

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStart:
    """How long and how hard to train."""

    steps: int = 600
    rows: int = 12
    learning_rate: float = 2e-3
    warmup: int = 40
    slip: float = 0.0


WEIGHT=[]
ROT=[]
COLOUR_IDS: list[int] = []


def gaze_loss(model, hidden, lessons, layer, head, target):
    """-log of attention mass on target, averaged over queries that have one."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb
    lm = model.model.language_model
    block = lm.layers[layer]
    x = block.input_layernorm(hidden[layer])
    part = slice(32 * head, 32 * head + 32)
    att = block.self_attn
    q = torch.nn.functional.linear(x, att.q_proj.weight[part], att.q_proj.bias[part])[:, None]
    k = torch.nn.functional.linear(x, att.k_proj.weight[part], att.k_proj.bias[part])[:, None]
    cos, sin = lm.rotary_emb(x, lessons.positions)
    q, k = apply_rotary_pos_emb(q, k, cos, sin)
    scores = (q @ k.transpose(2, 3))[:, 0] * att.scaling
    scores = scores.masked_fill(~lessons.mask[:, 0], -1e9)
    target = target & lessons.mask[:, 0]
    asks = target.any(-1)
    total = scores[asks].logsumexp(-1)
    hit = scores.masked_fill(~target, -1e9)[asks].logsumexp(-1)
    return (total - hit).mean()


def gazes(model, hidden, lessons):
    ids = lessons.token_ids
    table = torch.full((model.config.text_config.vocab_size,), -1)
    table[COLOUR_IDS] = torch.arange(len(COLOUR_IDS))
    hue = table[ids]
    prev = torch.cat([hue[:, :1], hue[:, :-1]], 1)
    named = lessons.slots != IGNORE
    name_hue = torch.where(named, torch.maximum(hue, prev), -1)
    cell = torch.full((*ids.shape, 2), -1)
    cell[ids == model.config.video_token_id] = lessons.cell_colours.flatten(0, 1) - 1
    seen = (name_hue[:, :, None, None] == cell[:, None]).any(-1) & (hue >= 0)[:, :, None] & named[:, :, None]
    want = torch.where(lessons.labels >= 0, table[lessons.labels.clamp(min=0)], -1)
    shape_tok = named & (hue < 0)
    copy = (want[:, :, None] == name_hue[:, None]) & (want >= 0)[:, :, None]
    answer = (lessons.recalls[:, :, None] == name_hue[:, None]) & (shape_tok & (lessons.slots > 1))[:, None] & (lessons.recalls >= 0)[:, :, None]
    return {"g_look": gaze_loss(model, hidden, lessons, 0, 0, seen)+gaze_loss(model, hidden, lessons, 1, 0, seen), "g_copy": gaze_loss(model, hidden, lessons, 3, 2, copy), "g_answer": gaze_loss(model, hidden, lessons, 2, 1, answer)}


class Heads(nn.Module):
    """Linear probes that ask hidden states what a reader has to find out; not part of the model."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.colours = nn.Linear(hidden, TEMPORAL * (1 + len(COLOURS)))
        self.early_roles = nn.Linear(hidden, len(ROLES))
        self.cell_roles = nn.Linear(hidden, len(ROLES))
        self.named_roles = nn.Linear(hidden, len(ROLES))
        self.slots = nn.Linear(hidden, 5)
        self.recalls = nn.Linear(hidden, len(COLOURS))
        self.cells = nn.Linear(hidden, 15)
        self.wheres = nn.Linear(hidden, 15)
        self.wheres2 = nn.Linear(hidden, 15)
        self.verdicts = nn.Linear(hidden, 4)


def losses(
    model: Qwen2_5_VLForConditionalGeneration, heads: Heads, lessons: Lessons
) -> dict[str, torch.Tensor]:
    """Next-token loss and one loss for each probe."""
    rows = len(lessons.token_ids)
    video = model.model.get_video_features(
        lessons.pixels.flatten(0, 1), torch.tensor([GRID] * rows), return_dict=True
    )
    seen = torch.cat(tuple(video.pooler_output)).view(rows, -1, model.config.text_config.hidden_size)
    states = model.model(
        input_ids=lessons.token_ids,
        position_ids=lessons.positions,
        attention_mask={"full_attention": lessons.mask},
        mm_encoder_outputs={"video": video},
        use_cache=False,
        output_hidden_states=True,
    )
    hidden = states.hidden_states
    is_video = lessons.token_ids == model.config.video_token_id
    looked = hidden[1][is_video].view_as(seen)
    taught = lessons.labels != IGNORE
    logits = model.lm_head(states.last_hidden_state[taught])
    colours = heads.colours(seen).unflatten(-1, (TEMPORAL, -1))
    held = lessons.cell_colours.amax(-1) > 0
    held_colour = torch.where(lessons.cell_colours[..., 0] > 0, lessons.cell_colours[..., 0], lessons.cell_colours[..., 1])[held] - 1
    words = model.get_input_embeddings().weight[COLOUR_IDS]
    slotted, recalled = lessons.slots != IGNORE, lessons.recalls != IGNORE
    named, judged = lessons.named_roles != IGNORE, lessons.verdicts != IGNORE
    return gazes(model, hidden, lessons) | {
        "text": cross_entropy(logits, lessons.labels[taught], weight=WEIGHT[0]),
        "cells": cross_entropy(heads.cells(seen).flatten(0,1), torch.arange(15).repeat(rows*3)),
        "slots": cross_entropy(heads.slots(hidden[1][slotted]), lessons.slots[slotted]),
        "recalls": cross_entropy(heads.recalls(hidden[2][recalled]), lessons.recalls[recalled]),
        "colours": cross_entropy(colours.flatten(0, 2), lessons.cell_colours.flatten()),
        "words": cross_entropy(torch.nn.functional.rms_norm(seen[held],(seen.shape[-1],)) @ (words @ ROT[0]).T, held_colour),
        "early_roles": cross_entropy(
            heads.early_roles(seen).flatten(0, 1), lessons.cell_roles.flatten()
        ),
        "roles": cross_entropy(
            heads.cell_roles(looked).flatten(0, 1), lessons.cell_roles.flatten()
        ),
        "names": cross_entropy(heads.named_roles(hidden[2][named]), lessons.named_roles[named]),
        "verdicts": cross_entropy(heads.verdicts(hidden[3][judged]), lessons.verdicts[judged]),
    }

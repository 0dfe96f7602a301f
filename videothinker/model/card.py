"""What an exported model says of itself: lineage.json for programs, README.md for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import yaml

from videothinker.config.lora import BESIDE
from videothinker.files import atomic_write, write_json
from videothinker.packages import VERSION

LINEAGE, CARD = "lineage.json", "README.md"
LICENSE_KEYS = ("license", "license_name", "license_link")


class Source(TypedDict):
    """A file or model folder, and the SHA-256 of its content."""

    path: str
    digest: str
    hub: NotRequired[str]
    """The name and commit of a model that came from the Hub."""


class ModelLineage(TypedDict):
    """Where a model comes from; plain values, so that it is its own JSON."""

    run: str
    stage: str
    steps: int
    seed: int
    base: Source
    data: list[Source]
    """Prepared questions the stage trained on."""
    kl: dict[str, Any]
    """The stage's divergence term: direction, coefficient, estimator, bound."""
    anchor: Source | None
    """None without a direction."""
    rewards: list[str]
    group_size: int
    prompts_per_step: int
    draw: NotRequired[dict[str, Any]]
    """Which of these were drawn how often; each alike in models that do not say."""
    refill: NotRequired[int]
    """Questions that a step might draw beyond these, for groups of equal rewards."""
    learning_rate: float
    temperature: float
    video: dict[str, Any]
    """The frame budget."""
    wording: NotRequired[str]
    """What it was asked in: `prompts.wording`; training in models that do not say."""
    lora: NotRequired[dict[str, Any]]
    """Of an adapter, which alone was trained: rank, alpha, targets."""
    merged: NotRequired[Source]
    """The adapter that was added to the base."""


def describe(model: Path, lineage: ModelLineage, license_of: Mapping[str, str]) -> None:
    """Write both files into a model's folder."""
    content = {**lineage, "videothinker": VERSION}
    write_json(model / LINEAGE, content)
    atomic_write(model / CARD, model_card(lineage, license_of))


def license_in(model: Path) -> dict[str, str]:
    """What a model's own card says of its license; nothing where it says nothing."""
    card = model / CARD
    parts = card.read_text().split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        header = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    known = header if isinstance(header, dict) else {}
    return {key: str(known[key]) for key in LICENSE_KEYS if key in known}


def model_card(lineage: ModelLineage, license_of: Mapping[str, str]) -> str:
    """README.md in the form model hubs read; what is not known is left as a comment to fill in."""
    fields = "".join(f"{key}: {json.dumps(value)}\n" for key, value in license_of.items())
    alone = "lora" in lineage and "merged" not in lineage
    video = lineage["video"]
    wording = lineage.get("wording", "training")
    thinks = ": the thinking is not checked and may be wrong\nwhere the answer is right"
    unchecked = "" if wording == "direct" else thinks
    data = "\n".join(f"- `{file['path']}` (sha256 `{file['digest']}`)" for file in lineage["data"])
    return f"""---
library_name: {"peft" if alone else "transformers"}
pipeline_tag: video-text-to-text
tags: [videothinker, reinforcement-learning]
{_base_model(lineage["base"])}
{fields or "# license: that of the base model; fill in before sharing" + chr(10)}---

# {lineage["run"]}, stage {lineage["stage"]}

{ANSWERS[wording]}

## Training

{_method(lineage)} {lineage["steps"]} steps of {lineage["prompts_per_step"]} questions\
{_refilled(lineage)}, {lineage["group_size"]} completions each at temperature \
{lineage["temperature"]:g}; learning rate \
{lineage["learning_rate"]:g}; rewards {", ".join(lineage["rewards"])}; seed {lineage["seed"]}; \
VideoThinker {VERSION}.

Started from {_named(lineage["base"])}, trained on

{data}

The model saw at most {video["max_frames"]} frames of a video, {video["fps"]:g} a second, of at most
{video["max_pixels"]} pixels each. `{LINEAGE}` holds all of this for programs.

## Use

{_adapters_use(lineage) if alone else USE}
`videothinker ask` and `evaluate` use the frame budget above, which is kept beside the weights;
elsewhere give it yourself: with another budget the model answers worse. {_sampling(lineage, alone)}

## Limitations

Rewarded for the final letters and the layout only{unchecked}.
It has seen the questions above and nothing else since its base; nothing is known of other kinds of
video, other languages or open answers. It has the limits and biases of its base.
"""


ANSWERS = {
    "training": """\
A model that answers questions about videos, thinking first: `<think>...</think>`, then
`<answer>...</answer>` with the letters of the correct options.""",
    "direct": """\
A model that answers questions about videos without thinking first: `<answer>...</answer>` with the
letters of the correct options, to a prompt that asks for the answer alone (`--wording direct`).""",
    "both": """\
A model that answers questions about videos as it is asked: thinking first, `<think>...</think>`,
then `<answer>...</answer>` with the letters of the correct options; or the answer alone, where the
prompt asks for that (`--wording direct`).""",
}
"""By the wording of its training."""
USE = """```
videothinker ask --model THIS_FOLDER --video FILE "question"
vllm serve THIS_FOLDER
```

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("THIS_FOLDER", dtype="auto")
processor = AutoProcessor.from_pretrained("THIS_FOLDER")
```
"""


def _adapters_use(lineage: ModelLineage) -> str:
    base = lineage["base"].get("hub", lineage["base"]["path"]).partition("@")[0]
    room = next((room for room in BESIDE if room >= lineage["lora"]["rank"]), BESIDE[-1])
    return f"""This is an adapter: it needs its base, {_named(lineage["base"])}.

```
videothinker ask --model THIS_FOLDER --video FILE "question"
videothinker merge THIS_FOLDER --out WHOLE_MODEL
vllm serve {base} --enable-lora --max-lora-rank {room} --lora-modules this=THIS_FOLDER
```

```python
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor

base = AutoModelForImageTextToText.from_pretrained("{base}", dtype="auto")
model = PeftModel.from_pretrained(base, "THIS_FOLDER")
processor = AutoProcessor.from_pretrained("{base}")
```
"""


def _sampling(lineage: ModelLineage, alone: bool) -> str:
    """How it was trained to be sampled, and who sees to that."""
    if alone:
        return (
            f"Sample at\ntemperature {lineage['temperature']:g}, from the whole vocabulary and"
            " without a repetition penalty: its base's own\n`generation_config.json` may say"
            " otherwise."
        )
    return (
        "`generation_config.json`\nsamples at the training's temperature, from the whole"
        " vocabulary and without a repetition penalty."
    )


def _trained(lineage: ModelLineage) -> str:
    """What of the model, where that is not all of it."""
    if "lora" not in lineage:
        return ""
    lora = lineage["lora"]
    tower = ", and the vision tower" if lora["vision"] else ""
    return (
        f"An adapter (LoRA, rank {lora['rank']}, alpha {lora['alpha']:g}, beside"
        f" {', '.join(lora['targets'])}{tower}): "
    )


def _base_model(base: Source) -> str:
    if "hub" in base:
        return f"base_model: {base['hub'].partition('@')[0]}"
    return f"# base_model: the hub's name of what this was trained from ({base['path']})"


def _named(source: Source) -> str:
    return f"`{source.get('hub', source['path'])}` (sha256 `{source['digest']}`)"


def _refilled(lineage: ModelLineage) -> str:
    if "refill" not in lineage:
        return ""
    return (
        f" (up to {lineage['refill']} more in place of those whose completions all earned the same)"
    )


def _method(lineage: ModelLineage) -> str:
    return _trained(lineage) + _objective(lineage)


DEBIASED = {
    "discount": "right answers counted less that {} was taught to give",
    "tie_break": "right answers earned less the likelier {} found them{}",
    "reweigh": "questions counted less that {} got right",
    "unlikely": "right answers earned less the likelier the policy itself found them",
    "product": "what {} would have said already was not pushed",
}
"""Directions without a divergence in the loss, in words."""


def _objective(lineage: ModelLineage) -> str:
    kl, anchor = lineage["kl"], lineage["anchor"]
    direction, named = kl["direction"], _anchored(kl, anchor) if anchor else ""
    if direction == "none":
        return "GRPO (clip-higher) without a divergence term:"
    if direction in DEBIASED:
        compared = ", compared with the base" if kl["likelihood"] == "relative" else ""
        words = DEBIASED[direction].format(named, compared * (direction == "tie_break"))
        return f"GRPO (clip-higher); {words}, coefficient {kl['coefficient']:g}{_scheduled(kl)}:"
    direction = {"repel": "repelled from", "attract": "attracted to"}[direction]
    return (
        f"GRPO (clip-higher), {direction} {named} with "
        f"coefficient {kl['coefficient']:g}{_scheduled(kl)}, estimator {kl['estimator']}, bound"
        f" {kl['bound']:g}:"
    )


def _anchored(kl: Mapping[str, Any], anchor: Source) -> str:
    """Whose word it was, and what that saw; models of versions that knew no views say nothing."""
    every = kl.get("anchor_every", 1)
    ago = "of the step before" if every == 1 else f"of every {every} steps"
    own = f"its own policy {ago}, at first {_named(anchor)}"
    view = kl.get("anchor_view", "video")
    seen = {
        "video": "",
        "blind": ", which saw nothing of the videos,",
        "frame": ", which saw one frame of each video,",
        "shuffled": ", which saw the videos out of order,",
        "masked": ", which saw the videos masked,",
    }[view]
    return (own if kl.get("anchor") == "policy" else _named(anchor)) + seen


def _scheduled(kl: Mapping[str, Any]) -> str:
    """How the coefficient moved; models of versions that knew no schedule say nothing of one."""
    when = {
        "ramp": " (reached over the first {} steps)",
        "early": " (in the first {} steps, then none)",
    }
    return when.get(kl.get("schedule", ""), "").format(kl.get("schedule_steps"))

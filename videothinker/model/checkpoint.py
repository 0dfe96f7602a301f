"""Checkpoints on disk: Hugging Face folders that appear whole or not at all.

Beside the weights lies the budget that the model was trained under; what may lie there is numbers,
never anything that runs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videothinker.config.hub_names import hub_source, is_hub_name
from videothinker.config.prompts import Wordings
from videothinker.config.section import Positive, Section
from videothinker.config.settings import DType, RunConfig, VideoConfig
from videothinker.errors import InputError
from videothinker.files import atomic_write, forget_cached, read_json, whole_folder, write_json
from videothinker.model.card import CARD, LINEAGE, ModelLineage, describe, license_in

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Endings of weights that are programs: who loads them runs what is in them."""
SAFE = {"local_files_only": True, "trust_remote_code": False}
"""How everything that transformers loads is loaded."""
REMEDY = "Give a Hugging Face folder with its weights as *.safetensors."

BUDGET = "videothinker.json"
"""Name of the file in a checkpoint that keeps what the model was trained to see."""
REPLACED = ("*.safetensors", "*.safetensors.index.json", "config.json")
"""What an export has of its own."""
NOT_HANDED_ON = (*(f"*{ending}" for ending in PICKLED), "*.py")
"""What an export must not take over, since whoever loads it might run it."""
GENERATION = "generation_config.json"
ADAPTER = "adapter_config.json"
"""Name of the file that makes a folder an adapter, whose base it names."""
TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


class Budget(Section):
    """The part of a configuration that using the model depends on."""

    dtype: DType
    video: VideoConfig
    max_tokens: Positive
    max_model_len: Positive
    wording: Wordings = "training"
    """What it was trained to be asked in."""

    @property
    def longest_prompt(self) -> int:
        """Tokens that a prompt may have so that its longest completion still fits."""
        return self.max_model_len - self.max_tokens


PAPER_EVALUATION = Budget(
    dtype="bfloat16",
    video=VideoConfig.model_validate("paper-evaluation"),
    max_tokens=1024,
    max_model_len=32768,
)
"""For models that carry none: the paper's 32 frames of 256 tokens."""


def save_model(
    model: Any,
    folder: Path,
    like: Path,
    budget: Budget,
    temperature: float = 1.0,
    lineage: ModelLineage | None = None,
) -> None:
    """Write the model with the tokenizer and processor of `like` beside it.

    Sampling is written out as trained, at `temperature`; `lineage` becomes lineage.json and a model
    card.
    """
    # a card and a lineage of `like` would be wrong here
    left_out = shutil.ignore_patterns(*REPLACED, *NOT_HANDED_ON, CARD, LINEAGE)
    with whole_folder(folder, replace=True) as partial:
        shutil.copytree(like, partial, ignore=left_out, dirs_exist_ok=True)
        write_weights(model, partial)
        _rewrite(partial / "config.json", with_cache(read_json(partial / "config.json")))
        base = read_json(like / "config.json") | read_json(like / GENERATION)
        _rewrite(partial / GENERATION, generation_settings(base, temperature))
        write_budget(partial, budget)
        if lineage is not None:
            describe(partial, lineage, license_in(like))


def write_weights(model: Any, folder: Path) -> None:
    """Weights and config.json, as transformers writes them.

    It has accelerate look whether the model is one of DeepSpeed's, which greets whoever imports it
    on stdout; that is for results.
    """
    with redirect_stdout(sys.stderr):
        model.save_pretrained(folder)


def generation_settings(base: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """generation_config.json: the base's special tokens, and sampling as it was trained.

    Nothing is left to defaults. transformers puts a folder's own values in the place of whatever a
    caller gives that equals a class default, so that asking a released folder (temperature 1e-6,
    repetition penalty 1.05) for temperature 1 gives the same completion every time.
    """
    import transformers

    tokens = {key: base[key] for key in TOKEN_KEYS if base.get(key) is not None}
    return {
        **tokens,
        "do_sample": True,
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": 0,  # off; left out, it is 50
        "repetition_penalty": 1.0,
        "use_cache": True,
        "transformers_version": transformers.__version__,
    }


def with_cache(config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json with the key-value cache on, which training turns off and answering needs."""
    text = {**config.get("text_config", {}), "use_cache": True}
    return {**config, "use_cache": True, "text_config": text}


def model_digest(folder: Path, *, from_disk: bool = False) -> str:
    """One hash over a checkpoint's tensors, whatever its folder is called; `from_disk` as for
    `file_digest`."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors in it; give a Hugging Face model folder")
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            if from_disk:
                forget_cached(opened)
            while chunk := opened.read(1 << 24):
                content.update(chunk)
    return content.hexdigest()


def _rewrite(file: Path, content: Mapping[str, Any]) -> None:
    write_json(file, content)


def budget_of(config: RunConfig) -> Budget:
    """The budget a run trains under."""
    return Budget(
        dtype=config.model.dtype,
        video=config.video,
        max_tokens=config.sampling.max_tokens,
        max_model_len=config.rollout.max_model_len,
        wording=config.prompts.wording,
    )


def write_budget(model: Path, budget: Budget) -> None:
    """Keep a budget beside a model's weights."""
    atomic_write(model / BUDGET, budget.model_dump_json(indent=2) + "\n")


def read_budget(model: Path) -> Budget:
    """A model's own budget, its base's, or the paper's."""
    file = model / BUDGET
    if not file.is_file():
        return read_budget(base_of(model)) if is_adapter(model) else PAPER_EVALUATION
    try:
        return Budget.model_validate_json(file.read_text())
    except ValidationError as error:
        raise InputError(
            f"{file}: not a budget ({error.error_count()} problems, first: "
            f"{error.errors()[0]['msg']}); delete the file to use the paper's"
        ) from error


def positions_of(model: Path) -> int:
    """The most tokens that a model can read and write; without end where it does not say."""
    config = read_json(base_of(model) / "config.json")
    return int(config.get("text_config", config).get("max_position_embeddings", sys.maxsize))


def is_adapter(model: Path) -> bool:
    """Whether a folder has an adapter in place of a whole model."""
    return (model / ADAPTER).is_file()


def base_of(model: Path) -> Path:
    """The folder of the whole model that an adapter belongs to; any other model's is its own.

    Where it was when the adapter was trained, where the adapter's file says, or in the Hub's cache.
    """
    if not is_adapter(model):
        return model
    trained_on = _parsed(model / LINEAGE).get("base") or {}
    named, commit = named_base(model)
    cached = _in_cache(named, commit) if is_hub_name(named) else None
    for place in (trained_on.get("path"), named, cached):
        if place and (base := Path(place)).is_absolute() and (base / "config.json").is_file():
            return base
    raise InputError(
        f"{model}: an adapter of {named or 'a model without a name'}, which is not here. Bring that"
        f" model, and write its folder into {model / ADAPTER} as base_model_name_or_path"
    )


def named_base(adapter: Path) -> tuple[str, str | None]:
    """What an adapter's file says of its base: a folder, or a name and commit of the Hub's."""
    settings = _parsed(adapter / ADAPTER)
    return str(settings.get("base_model_name_or_path") or ""), settings.get("revision")


def _in_cache(name: str, commit: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(name, "config.json", revision=commit)
    return Path(file).parent if isinstance(file, str) else None


def require_base(adapter: Path, base: Path) -> None:
    """InputError where an adapter was trained beside another model than the one in a folder."""
    trained_on = _parsed(adapter / LINEAGE).get("base") or {}
    if trained_on and trained_on["digest"] != model_digest(base):
        raise InputError(
            f"{adapter}: an adapter of {trained_on['path']} (sha256 {trained_on['digest'][:12]}),"
            f" and {base} is another model. Name the adapter's own base"
        )


def require_model(model: Path) -> None:
    """InputError where a folder has neither a whole model nor an adapter whose base is here."""
    require_safe(model)
    if is_adapter(model):
        base = base_of(model)
        require_base(model, base)
        require_safe(base)


def require_safe(folder: Path) -> None:
    """InputError where a checkpoint's folder has no safetensors, damaged ones, or code."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLED)
        found = (
            f"only {pickled[0]}, and loading that would run what is in it" if pickled else "none"
        )
        _require_here(folder)
        raise InputError(f"{folder}: no *.safetensors in it ({found}). {REMEDY}")
    for file in files:
        _require_tensors(file)
    for file in sorted(folder.glob("*.json")):
        content = _parsed(file)
        if "auto_map" in content:
            raise InputError(
                f"{file}: asks for code of its own (auto_map), which is never run. Give a model"
                " that transformers knows by itself, or take that entry out"
            )
        shards = content.get("weight_map") or {}
        for name in sorted(set(shards.values()) - {file.name for file in files}):
            raise InputError(f"{file}: names {name}, which is not one of its *.safetensors")


def _require_here(folder: Path) -> None:
    """The driver has fetched a model of the Hub; its cache need not be another machine's."""
    source = hub_source(folder)
    if source and not folder.exists():
        repository, _, commit = source.partition("@")
        raise InputError(
            f"{folder}: not on {socket.gethostname()}. Set HF_HOME to a folder that every machine"
            f" sees, or bring it there: hf download {repository} --revision {commit}"
        )


def _require_tensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise InputError(f"{file}: is no file. {REMEDY}")
    try:
        with safe_open(file, "np"):
            return
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: holds no safetensors, whatever its name ({error})") from error


def _parsed(file: Path) -> dict[str, Any]:
    """What a file holds; nothing where that is no object, as in some tokenizers' files."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({type(error).__name__}). Fetch it again") from error
    return content if isinstance(content, dict) else {}

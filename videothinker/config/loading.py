"""From a YAML file and what is laid over it to typed settings, all problems at once.

What is laid over it: `dotted.key=value`, and further files, which hold some of the keys. Sections
are merged; of the stages, which such a file calls `every` and `last`, each key is replaced whole.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from videothinker.config.checks.kl import KL_DETAILS
from videothinker.config.checks.run import cross_checks
from videothinker.config.section import Section
from videothinker.config.settings import RunConfig
from videothinker.errors import ConfigError, InputError

Location = tuple[int | str, ...]
Settings = TypeVar("Settings", bound=Section)

OTHER_NAMES = {
    "beta": "coefficient",
    "repulsion": "coefficient",
    "kl_coefficient": "coefficient",
    "reference": "anchor",
    "ref_model_path": "anchor",
    "lr": "learning_rate",
    "num_generations": "group_size",
    "max_completion_length": "max_tokens",
    "peft_config": "lora",
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
}
"""What the same setting is called by the paper, its scripts, TRL and PEFT."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A run's configuration; ConfigError names everything that is wrong."""
    return load_settings(RunConfig, path, overrides, cross_checks)


def load_settings(
    kind: type[Settings],
    path: Path,
    overrides: Sequence[str],
    checks: Callable[[Settings], Iterable[str]],
) -> Settings:
    """Defaults, then the file, then the overrides in their order, then what the settings say of
    each other.

    The last only of settings that are all well-typed: of others it would be half guessed.
    """
    document = _read(Path(path))
    problems = []
    for override in overrides:
        laying = _lay_over if "=" not in override and override.endswith(".yaml") else _apply
        if said := laying(document, override):
            problems.append(said)
    config: Settings | None = None
    try:
        config = kind.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        problems += [_describe(kind, fault) for fault in faults if not _follows(fault)]
    if config and not problems:
        problems += checks(config)
    if problems:
        lines = [f"{path} cannot be run:", *(f"  - {problem}" for problem in problems)]
        raise ConfigError("\n".join(lines))
    assert config is not None
    return config


def to_yaml(config: RunConfig) -> str:
    """The whole configuration, defaults included, as text that load_config reads back equal."""
    document = config.model_dump(mode="json")
    for stage in document["stages"]:
        used = KL_DETAILS[stage["kl"]["direction"]]  # the rest is refused when given
        stage["kl"] = {key: stage["kl"][key] for key in ("direction", *used)}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def first_difference(ours: Section, theirs: Section) -> str | None:
    """The first setting that two configurations do not share, with both values; `out` aside."""
    here, there = (dict(dotted_values(config.model_dump(mode="json"))) for config in (ours, theirs))
    for key in here | there:
        mine, other = here.get(key, "absent"), there.get(key, "absent")
        if key != "out" and mine != other:
            return f"{key} is {other!r} there and {mine!r} here"
    return None


def dotted_values(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every dotted key of a dumped configuration with its value."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = list(enumerate(value))
    else:
        yield key, value
        return
    for name, item in inner:
        yield from dotted_values(item, f"{key}.{name}" if key else str(name))


def dotted_keys(section: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Every key a configuration may set, stages as `stages.N`."""
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is None:
            yield prefix + name
        else:
            number = "N." if get_origin(field.annotation) is tuple else ""
            yield from dotted_keys(inner, f"{prefix}{name}.{number}")


class _Loader(yaml.SafeLoader):
    """Safe, and a key given twice is an error instead of the last one winning."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.YAMLError(f"line {line}: {key} is given twice")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # a SafeLoader
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; name a YAML file such as configs/cdpo.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be run:\n  - not readable as YAML: {text}") from error
    if not isinstance(document, dict):
        raise ConfigError(
            f"{path} cannot be run:\n  - it must be a YAML mapping of keys to values, "
            f"found {type(document).__name__}; see configs/cdpo.yaml"
        )
    return document


def _lay_over(document: dict[str, Any], file: str) -> str | None:
    """Another file's keys in place; returns what is wrong with them, if anything."""
    keys = _read(Path(file))
    laid = keys.pop("stages", {})
    if not isinstance(laid, dict) or laid.keys() - {"every", "last"}:
        return f"{file}: its stages are laid over another file's as {{every: ..., last: ...}}"
    stages = document.get("stages")
    if not isinstance(stages, list) or not all(isinstance(one, dict) for one in stages):
        stages = []  # which is refused for itself
    for name, changed in laid.items():
        for stage in stages if name == "every" else stages[-1:]:
            stage |= changed
    _merge(document, keys)
    return None


def _merge(target: dict[str, Any], keys: Mapping[str, Any]) -> None:
    for key, value in keys.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _apply(document: dict[str, Any], override: str) -> str | None:
    """Sets one `dotted.key=value` in place; returns what is wrong with it, if anything."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return f"{override!r}: an override is written learner.learning_rate=2e-6"
    try:
        value = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError:
        return f"{override!r}: the value is not readable as YAML"
    return _set(document, parts, value, override)


def _set(target: Any, parts: list[str], value: object, override: str) -> str | None:
    """Walks to the last part and sets it; missing sections come into being on the way."""
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        where = ".".join(parts[:depth])
        if isinstance(target, list):
            if not part.isdecimal() or int(part) >= len(target):
                return f"{override!r}: {where} has no {part!r}; it has {len(target)}, from 0 on"
            place: int | str = int(part)
        elif isinstance(target, dict):
            place = part
            if not last:
                target[part] = {} if target.get(part) is None else target[part]
        else:
            return f"{override!r}: {where} is a single value, it has no key {part!r}"
        if last:
            target[place] = value
        else:
            target = target[place]
    return None


def _follows(fault: Mapping[str, Any]) -> bool:
    """Whether pydantic calls a list too short only because it left out the invalid entries."""
    return bool(fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"])


def _describe(kind: type[Section], error: Mapping[str, Any]) -> str:
    location: Location = error["loc"]
    where = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key. {_nearest(kind, location)}"
    message = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] == "missing":
        return f"{where}: missing, and there is no default"
    if isinstance(error["input"], dict | list):
        return f"{where}: {message}"
    return f"{where} = {error['input']!r}: {message}"


def _nearest(kind: type[Section], location: Location) -> str:
    """The key that was probably meant; otherwise the keys that exist there."""
    section = _section_at(kind, location[:-1]) or kind
    unknown, here = str(location[-1]), list(section.model_fields)
    meant = OTHER_NAMES.get(unknown, unknown)
    if meant in here:
        return f"Did you mean {meant!r}?"
    elsewhere = [key for key in dotted_keys(kind) if key.rpartition(".")[2] == meant]
    misspelt = difflib.get_close_matches(unknown, here, n=1, cutoff=0.85)
    close = [*misspelt, *elsewhere] or difflib.get_close_matches(unknown, here, n=1)
    if close:
        return f"Did you mean {' or '.join(repr(key) for key in close)}?"
    return f"Known here: {', '.join(here)}."


def _section_at(kind: type[Section], location: Location) -> type[BaseModel] | None:
    """The section type at a location, None where a plain value or nothing known stands."""
    section: type[BaseModel] | None = kind
    for part in location:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part) if section else None
        section = _section_in(field.annotation) if field else None
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is, or that a tuple or optional of it holds."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

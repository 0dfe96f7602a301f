"""How a benchmark is asked: in what words, of how much of a video, and how long an answer may be.

A protocol is a YAML file. Those of one benchmark lie in its folder, those for every benchmark
beside these; a user's own is named by its path. What a file leaves open is the model's own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import Field

from videothinker.config.loading import load_settings
from videothinker.config.section import Positive, Section
from videothinker.config.settings import VideoConfig
from videothinker.errors import ConfigError, InputError
from videothinker.evaluation import benchmarks
from videothinker.evaluation.rules import Scoring
from videothinker.method.prompts import SAID, Spoken, Turns, asked
from videothinker.model.checkpoint import Budget
from videothinker.types import Question, Wording

FOLDER = Path(benchmarks.__file__).parent
OTHER = "other"
"""The prompt of categories that have none of their own."""
UNLETTERED = "without options"
"""The prompt of questions that have none, where it is another one."""
FIELDS = {"question", "options", "subtitles", "video"}
NOT_ASKED = {"source", "note", "name", "scoring"}
"""Keys that change nothing of what is asked."""
Texts = str | dict[str, str]
"""One, or one for each category."""


class Protocol(Section):
    """One way of asking a benchmark."""

    name: str = ""
    source: str = ""
    """Where it is from."""
    note: str = ""
    """What of it cannot be had here, or differs."""
    wording: Wording | None = None
    """One of this package's own texts, in place of a prompt."""
    system: str = ""
    """A system turn; without one the model's template may have its own."""
    prompt: Texts = ""
    """The user's text, or one for each category: {question}, {options} and {subtitles} stand for
    what they say, {video} for the video, where it does not come first."""
    option: Texts = "{letter}. {text}"
    """How one option is written; {name} is what the question itself calls it: "Caption A"."""
    between: str = "\n"
    """What stands between two options."""
    drop: str = ""
    """Taken out of the options' texts."""
    unspoken: str = ""
    """What stands for {subtitles} where there are none."""
    prefill: str = ""
    """What the model's own turn begins with."""
    returned: str = ""
    """The end of it that is put before what the model says, and scored with it."""
    video: dict[str, int | float] = Field(default={})
    """Keys of a run's `video`."""
    max_tokens: Positive | None = None
    temperature: float = Field(default=0.0, ge=0)
    scoring: Scoring = "official"
    """What figures under this protocol are scored by."""

    @property
    def subtitled(self) -> bool:
        """Whether it asks with what is said in the video."""
        return any("{subtitles}" in text for text in _each(self.prompt).values())

    @property
    def budget(self) -> VideoConfig:
        """Of one that is settled: what of a video is seen."""
        return VideoConfig.model_validate(self.video)

    def settled(self, own: Budget) -> Protocol:
        """With the model's own where it leaves something open."""
        video = VideoConfig.model_validate(own.video.model_dump() | self.video).model_dump()
        tokens = self.max_tokens or own.max_tokens
        return self.model_copy(update={"video": video, "max_tokens": tokens})

    def digest(self) -> str:
        """By which the same way of asking is known again, whatever it is called."""
        asked = json.dumps(asked_in(self.model_dump()), sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    def turns(self, question: Question, benchmark: str, spoken: tuple[Spoken, ...] = ()) -> Turns:
        """What a model reads of a question, around what it is shown."""
        if self.wording is not None:
            return Turns(user=asked(question, self.wording, benchmark))
        option, prompt = self._of("option", question), self._of("prompt", question)
        names = benchmarks.named(benchmark).option_names(question)
        options = [
            option.format(letter=letter, name=name, text=_without(self.drop, text))
            for (letter, text), name in zip(question.options, names, strict=True)
        ]
        before, shown, after = prompt.rpartition("{video}")
        said = {"question": question.text, "options": self.between.join(options)}
        return Turns(
            before=before.format(subtitles=SAID, **said) if shown else "",
            user=after.format(subtitles=SAID, **said),
            system=self.system,
            begun=self.prefill,
            spoken=spoken,
            unspoken=self.unspoken,
        )

    def _of(self, key: str, question: Question) -> str:
        """The text for a question's category."""
        texts, category = _each(getattr(self, key)), question.category.split("/")[0]
        if not question.options and UNLETTERED in texts:
            return texts[UNLETTERED]
        if (found := texts.get(category, texts.get(OTHER))) is None:
            raise InputError(
                f"protocol {self.name}: {key} has no text for the category {category!r} of"
                f" {question.id}. Add one, or one for {OTHER!r}"
            )
        return found


def _each(texts: Texts) -> dict[str, str]:
    return {OTHER: texts} if isinstance(texts, str) else texts


def _without(some: str, text: str) -> str:
    return text.replace(some, "") if some else text


def usual(wording: Wording) -> Protocol:
    """What is asked where no protocol is named: one of this package's texts."""
    return Protocol(name=wording, wording=wording, scoring="reference")


def known(benchmark: str) -> list[str]:
    """Names of the protocols that a benchmark may be asked by, its own first."""
    return list(_files(benchmark))


def load_protocol(name: str, benchmark: str) -> Protocol:
    """By its name, or by the path of a file of one's own."""
    files = _files(benchmark)
    file = Path(name) if name.endswith(".yaml") else files.get(name)
    if file is None:
        near = difflib.get_close_matches(name, files, n=1, cutoff=0.0)[0]
        raise InputError(
            f"--protocol {name}: {benchmark} has none of this name. Did you mean {near!r}? Known:"
            f" {', '.join(files)}; or the path of a .yaml file"
        )
    try:
        protocol = load_settings(Protocol, file, (), _faults)
    except ConfigError as error:
        raise InputError(str(error).replace("cannot be run", "cannot be asked by")) from error
    return protocol.model_copy(update={"name": protocol.name or file.stem})


def asked_in(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What answers under it depend on, each under a name of its own."""
    content = {key: value for key, value in protocol.items() if key not in NOT_ASKED}
    seen = content.pop("video", {})
    return content | {f"video.{key}": value for key, value in seen.items()}


def _files(benchmark: str) -> dict[str, Path]:
    own = FOLDER / benchmark.replace("-", "_")
    return {file.stem: file for folder in (own, FOLDER) for file in sorted(folder.glob("*.yaml"))}


def _faults(protocol: Protocol) -> Iterator[str]:
    """What its keys say of each other."""
    if (protocol.wording is None) == (not protocol.prompt):
        yield "prompt: give either the text of one or a wording"
    if protocol.wording is not None:
        usual_ones = Protocol()
        for key in ("system", "option", "between", "drop", "prefill", "returned", "unspoken"):
            if getattr(protocol, key) != getattr(usual_ones, key):
                yield f"{key}: has no effect beside wording, which is a whole text. Leave it out"
    if protocol.unspoken and not protocol.subtitled:
        yield "unspoken: has no effect, no prompt has {subtitles}. Leave it out"
    if not protocol.prefill.endswith(protocol.returned):
        yield f"returned = {protocol.returned!r}: is not what prefill ends with. Mend one of them"
    for key in set(protocol.video) - set(VideoConfig.model_fields):
        yield f"video.{key}: unknown key. Known here: {', '.join(VideoConfig.model_fields)}."
    yield from _unknown_fields(protocol)


def _unknown_fields(protocol: Protocol) -> Iterator[str]:
    """Names in braces that stand for nothing."""
    for key, text, fields in _templates(protocol):
        try:
            unknown = {field for _, field, *_ in Formatter().parse(text) if field is not None}
        except ValueError as error:
            yield f"{key}: {error}. Write {{{{ and }}}} for braces"
            continue
        for field in sorted(unknown - fields):
            yield f"{key}: {{{field}}} stands for nothing; known: {', '.join(sorted(fields))}"


def _templates(protocol: Protocol) -> Iterator[tuple[str, str, set[str]]]:
    for category, text in _each(protocol.prompt).items():
        yield f"prompt.{category}", text, FIELDS
    for category, text in _each(protocol.option).items():
        yield f"option.{category}", text, {"letter", "name", "text"}

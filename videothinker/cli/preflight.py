"""What a command asks for: its configuration, and what that lacks here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from videothinker.cli.verb import Outcome
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.asked import to_probe, unfit_draws, whole_views
from videothinker.data.questions import read_questions
from videothinker.data.stream import select
from videothinker.errors import ConfigError, InputError, VideoThinkerError
from videothinker.evaluation.shortcuts import reduced, rotations
from videothinker.hub import models as hub
from videothinker.method.answers import LETTERED
from videothinker.method.paying import Rewards, source
from videothinker.model.checkpoint import is_adapter, require_model
from videothinker.model.families.known import ON_THE_HUB, TITLES, kind_of, shape_of
from videothinker.model.fitness import one_time, unfit_adapter, unfit_anchor, unfit_base
from videothinker.packages import foreign_owners
from videothinker.planning.disk import shortage
from videothinker.planning.memory import cramped
from videothinker.planning.plan import least
from videothinker.planning.spans import uneven
from videothinker.process.certificates import unusable
from videothinker.process.gpus import fault
from videothinker.run.copies import uncopied
from videothinker.tracking.trackers import VENV, not_installed
from videothinker.types import Question
from videothinker.video.files import find

if TYPE_CHECKING:
    from videothinker.study.config import StudyConfig

UPLOAD = "_ray_pkg_"
"""How Ray names what it unpacks for a job."""
CLEVRER_SITE = "http://clevrer.csail.mit.edu"
TRIAL = Question(id="trial", video="", text="?", options=(("A", "x"), ("B", "y")), answer="A")


def asked_config(
    words: Sequence[str], resume: Path | None = None, paths_from: Path | None = None
) -> tuple[RunConfig, Path]:
    """The configuration named by a command's words, and the file it came from.

    `paths_from` becomes the working directory, because relative paths count from there; all but
    that of the configuration file.
    """
    if resume and words:
        raise InputError(
            f"--resume {resume} goes on with the configuration that run was started with;"
            f" leave {words[0]} out"
        )
    example = "videothinker train configs/cdpo.yaml learner.learning_rate=2e-6"
    source, overrides = (resume / "config.yaml", []) if resume else one_file(words, example)
    if paths_from:
        source = source if resume else source.absolute()
        _enter(paths_from)
    if resume and not source.is_file():
        raise InputError(f"{source}: no such file; --resume takes the folder of a run")
    return hub.remembered(load_config(source, overrides)), source


def one_file(words: Sequence[str], example: str) -> tuple[Path, list[str]]:
    """The configuration file among a command's words, which comes first, and what is laid over
    it."""
    files = [word for word in words if "=" not in word]
    if not files:
        raise InputError(f"a configuration file is needed and none was given; such as: {example}")
    return Path(files[0]), [word for word in words if word != files[0]]


def missing_files(config: RunConfig) -> list[str]:
    """What the configuration names and this machine lacks, and what would be lost, as lines."""
    here = check_upload(config) or check_paths(config)
    return here + missing_trackers(config) + uncopied(config.copy_to)


def missing_trackers(config: RunConfig) -> list[str]:
    """Trackers of `report_to` whose library is not installed here."""
    place = os.environ.get(VENV) or "this environment"
    return [
        f"report_to: {library} is not installed in {place}. Run `pip install {library}` there, or"
        f" name an environment that has it: {VENV}=DIR (`make trackers` makes one)"
        for library in not_installed(config.report_to)
    ]


def with_models(config: RunConfig, source: Path) -> tuple[RunConfig, RunConfig]:
    """Models of the Hub fetched: the configuration that a run keeps, and the one it works with."""
    kept, here = hub.fetched(config)
    if here is not config:
        require_files(missing_files(here), source)
    return kept, here


def missing_bases(study: StudyConfig) -> list[str]:
    """Base models of a study that are named by a folder which does not hold one."""
    remedy = (
        f"Name the folder of a {TITLES} checkpoint, or a number: the base model is then made with"
        " that seed"
    )
    named = [(n, base) for n, base in enumerate(study.warm_starts) if isinstance(base, Path)]
    return [line for n, base in named for line in _no_model(f"warm_starts.{n}", base, remedy)]


def require_files(missing: Sequence[str], source: Path) -> None:
    """ConfigError where something is missing."""
    if missing:
        lines = [f"{source} cannot be run:", *(f"  - {line}" for line in missing)]
        raise ConfigError("\n".join(lines))


def require_own_names() -> None:
    """A foreign package called `cluster` or `actors` would be trained with instead of ours."""
    foreign = foreign_owners()
    if foreign:
        taken = "; ".join(f"{name} by {', '.join(owners)}" for name, owners in foreign.items())
        raise VideoThinkerError(
            f"other installed distributions own our package names: {taken}. Uninstall them, then"
            " run `make setup` again"
        )


def dry_run(config: RunConfig, source: Path, missing: Sequence[str]) -> Outcome:
    """What there is to say of a training that is not started."""
    notes = [f"warning: {line}" for line in missing]
    steps = ", ".join(f"{stage.name} {stage.steps} steps" for stage in config.stages)
    absent = f"; {len(missing)} things are missing on this machine, see above" if missing else ""
    notes.append(f"{source} is a valid configuration: {steps}{absent}")
    notes += hub.outlook(config)
    notes += _probing(config)
    if needed := least(hub.at_hand(config)):
        notes.append(f"it takes at least {needed} (`videothinker plan` says what goes where)")
    result = {"config": config.model_dump(mode="json"), "missing": list(missing)}
    return Outcome(text=to_yaml(config).rstrip(), result=result, notes=notes)


def _enter(folder: Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise InputError(
            f"--paths-from {folder}: {error.strerror}; name a folder that every machine of the"
            " cluster sees"
        ) from error


def check_paths(config: RunConfig) -> list[str]:
    """What the configuration names and this machine lacks, each with the command that brings it."""
    missing = _unusable("model.path", str(config.model.path), config, _model_remedy(config))
    if not config.data.videos.is_dir():
        missing.append(f"data.videos: no folder {config.data.videos}. {_videos_remedy(config)}")
    if config.data.validation:
        missing += _no_questions("data.validation", config.data.validation, config)
    made = {"base", "policy"}
    for number, stage in enumerate(config.stages):
        missing += _no_questions(f"stages.{number}.questions", stage.questions, config)
        if stage.kl.asks and stage.kl.anchor not in made:
            key = f"stages.{number}.kl.anchor"
            remedy = (
                "Train it with `videothinker train configs/bias.yaml`, or name a checkpoint's"
                f" folder: {key}=DIR"
            )
            missing += _unusable(key, stage.kl.anchor, config, remedy)
        made.add(stage.name)
    asked = asked_questions(config)
    missing += _missing_videos(config, asked)
    missing += _unpayable(config, asked)
    missing += _no_device(config)
    if (tls := config.cluster.metrics_tls) is not None and (wrong := unusable(tls)) is not None:
        missing.append(f"cluster.metrics_tls: {wrong}")
    sized = hub.at_hand(config)
    missing += _unfit(sized)
    if (short := shortage(sized)) is not None:
        missing.append(short)
    here = f"{Path.cwd()}{os.sep}"  # what lies below is named as the user would type it
    return [line.replace(here, "") for line in missing]


def check_upload(config: RunConfig) -> list[str]:
    """Paths in the folder that Ray unpacks for a job, and deletes some time after it."""
    folder = next((part for part in config.out.parents if part.name.startswith(UPLOAD)), None)
    if folder is None:
        return []
    return [
        f"out: {config.out.relative_to(folder)} would be in the temporary folder of this Ray job,"
        " and lost. Say where relative paths count from, a folder that every machine of the"
        " cluster sees: --paths-from DIR; or submit with `videothinker submit`"
    ]


def _no_device(config: RunConfig) -> list[str]:
    """What keeps this machine from the device; of a cluster, its machines know."""
    if config.cluster.address or os.environ.get("RAY_ADDRESS"):
        return []
    found = fault(config.cluster.device)
    return [] if found is None else [found]


def _unfit(config: RunConfig) -> list[str]:
    """Why the models cannot do what is asked of them; of those that are not here others speak."""
    with suppress(InputError):
        shape, lora = shape_of(config.model.path), config.learner.lora
        found = [uneven(config, shape), cramped(config, shape), *one_time(config, shape)]
        found += [] if lora is None else [unfit_adapter(config.model.path, lora)]
        return [line for line in (*found, *_unlike(config)) if line is not None]
    return []


def _unlike(config: RunConfig) -> Iterator[str | None]:
    base = config.model.path
    if base.is_dir():
        paid = [one.name for one in config.rewards if one.name]
        yield _at("model.path", unfit_base(base, paid, config.prompts.wording))
        for number, stage in enumerate(config.stages):
            anchor = Path(stage.kl.anchor)
            if stage.kl.asks and anchor.is_dir():
                alone = config.cluster.scorers > 0
                yield _at(f"stages.{number}.kl.anchor", unfit_anchor(base, anchor, alone=alone))


def _at(key: str, wrong: str | None) -> str | None:
    return None if wrong is None else f"{key}: {wrong}"


def _unusable(key: str, place: str, config: RunConfig, remedy: str) -> list[str]:
    """What is wrong with a model, here or on the Hub."""
    if place not in config.hub_names:
        return _no_model(key, Path(place), remedy)
    try:
        hub.find(place, config.pinned.get(place))
    except InputError as error:
        return [f"{key}: {error}"]
    return []


def _no_model(key: str, folder: Path, remedy: str) -> list[str]:
    """What is wrong with the folder of a model."""
    if not (is_adapter(folder) or (folder / "config.json").is_file()):
        return [f"{key}: no model in {folder}. {remedy}"]
    try:
        require_model(folder)
        kind_of(folder)
    except InputError as error:
        return [f"{key}: {error}"]
    return []


def _no_questions(key: str, file: Path, config: RunConfig) -> list[str]:
    if file.is_file():
        return []
    folder, source = file.parent, file.parent.parent
    own = source / "questions.jsonl"  # as `videothinker init` leaves it
    if own.is_file():
        words = f"prepare jsonl {own} --videos {config.data.videos} --out {folder}"
        return [f"{key}: no file {file}. Make it: videothinker {words}"]
    prepare = (
        f"Make it: videothinker prepare clevrer --questions {source}/{folder.name}.json"
        f" --annotations {source}/annotations --videos {config.data.videos} --out {folder}"
    )
    return [f"{key}: no file {file}. {_quickstart(file) or prepare}"]


def _missing_videos(config: RunConfig, asked: Mapping[Path, Sequence[Question]]) -> list[str]:
    """Question files whose videos lie elsewhere; single gaps are the ledger's business."""
    folder, lines = config.data.videos, []
    for file, questions in asked.items() if folder.is_dir() else ():
        names = {path for question in questions for path in question.shows}
        absent = sorted(name for name in names if find(folder, name) is None)
        if len(absent) > config.data.max_skipped_share * len(names):
            lines.append(
                f"data.videos: {len(absent)} of the {len(names)} videos of {file} are not in"
                f" {folder}, the first is {absent[0]}. Name the folder that `videothinker prepare`"
                " was given: data.videos=DIR"
            )
    return lines


def asked_questions(config: RunConfig) -> dict[Path, list[Question]]:
    """What is in those files of questions that are there; ConfigError where one cannot be used,
    which no other machine would mend."""
    files = dict.fromkeys([stage.questions for stage in config.stages])
    files |= {config.data.validation: None} if config.data.validation else {}
    asked, faults = {}, []
    for file in (file for file in files if file.is_file()):
        try:
            asked[file] = read_questions(file)
        except InputError as error:
            faults.append(str(error))
            continue
        faults += _unfit_rewards(config, file, asked[file])
        faults += _absent_categories(config, file, asked[file])
        faults += whole_views(config, file, asked[file])
        faults += unfit_draws(config, file, asked[file])
    if faults:
        raise ConfigError(
            "\n".join(["its questions cannot be used:", *(f"  - {f}" for f in faults)])
        )
    return asked


def _unfit_rewards(config: RunConfig, file: Path, questions: Sequence[Question]) -> list[str]:
    """Rewards that read letters, for answers that are none."""
    letters = ("soft_accuracy", "strict_accuracy")
    reading = [reward.title for reward in config.rewards if reward.title in letters]
    others = [question for question in questions if question.kind not in LETTERED]
    if not reading or not others:
        return []
    return [
        f"rewards: {reading[0]} reads letters, and {len(others)} answers in {file} are none, the"
        f" first that of {others[0].id} ({others[0].kind}). Use accuracy: rewards=[accuracy,format]"
    ]


def _absent_categories(
    config: RunConfig, file: Path, questions: Sequence[Question]
) -> Iterator[str]:
    """Stages that would train on none of a file's questions; what probes find is not known yet."""
    if config.data.category == "probe":
        return
    for number, stage in enumerate(config.stages):
        drawn = select(questions, stage.limit, config.seed)
        known = sorted({question.category for question in drawn})
        if stage.questions == file and stage.category is not None and stage.category not in known:
            those = ", ".join(map(repr, known)) or "nothing"
            yield (
                f"stages.{number}.category: no question that is drawn from {file} is"
                f" {stage.category!r}, there is {those}. Name what there is, or have them"
                " labelled: data.category=probe"
            )


def _probing(config: RunConfig) -> Iterator[str]:
    """What a run asks before its first stage, where that is known."""
    with suppress(InputError):
        probed = to_probe(config)
        asked = [one for questions in probed.values() for one in questions]
        worded = [one for probe in config.data.probes for one in reduced(asked, probe)]
        turns = sum(len(rotations(one)) for one in worded)
        if probed:
            yield (
                f"before its first stage the model is asked {turns} times, to label"
                f" {len(asked)} questions (data.category = probe; docs/shortcuts.md)"
            )


def _unpayable(config: RunConfig, asked: Mapping[Path, Sequence[Question]]) -> list[str]:
    """Functions of the user's that fail on a right answer, or on no answer, to a first question."""
    question = next((one for some in asked.values() for one in some), TRIAL)
    wording = config.prompts.each[0]
    question = replace(question, wording=wording)
    thought = "" if wording == "direct" else "<think>It is.</think>"
    right = f"{thought}<answer>{question.answer}</answer>"
    lines = []
    for number, reward in enumerate(config.rewards):
        if reward.call is None:
            continue
        if not (file := source(reward)).is_file():
            lines.append(f"rewards.{number}.call: no file {file}. Write it, or name another")
            continue
        try:
            with closing(Rewards([reward])) as rewards:
                rewards.of(question, [right, ""])
        except InputError as error:
            lines.append(f"rewards.{number}.call: tried on two completions: {error}")
    return lines


def _model_remedy(config: RunConfig) -> str:
    folder = config.model.path
    if (name := ON_THE_HUB.get(folder.name)) is not None:
        bring = f"Bring it: hf download {name} --local-dir {folder}"
        return f"{bring}; or have it fetched: model.path={name}"
    named = (
        f"Name the folder of a {TITLES} checkpoint, or its name on the Hub: model.path=OWNER/NAME"
    )
    return _quickstart(folder) or named


def _videos_remedy(config: RunConfig) -> str:
    unpack = (
        f"Unpack CLEVRER's train and validation videos there ({CLEVRER_SITE}), or name their"
        " folder: data.videos=DIR"
    )
    return _quickstart(config.data.videos) or unpack


def _quickstart(path: Path) -> str:
    """What makes a path, where it is one of the quickstart's."""
    return "Make it: videothinker quickstart" if "quickstart" in path.parts else ""

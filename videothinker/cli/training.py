"""The verbs that begin, steer and end a run."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from videothinker.cli.verb import RUN, Outcome, argument, config_words, flag, verb

STOP_SECONDS = 600.0


@verb(
    "videothinker train configs/cdpo.yaml learner.learning_rate=2e-6 stages.0.steps=100\n"
    "  videothinker train --resume runs/cdpo",
    config_words("*"),
    argument("--resume", type=Path, metavar="RUN", help="go on where this run stopped (no CONFIG)"),
    argument(
        "--paths-from",
        type=Path,
        metavar="DIR",
        help="relative paths count from DIR; for a Ray job, which starts in a temporary folder",
    ),
    flag("--dry-run", "check everything, start nothing, print the whole configuration"),
)
def train(arguments: Namespace) -> Outcome:
    """Train a configuration's stages; the same command goes on with a run that was cut off."""
    from videothinker.cli import preflight

    resume = arguments.resume
    config, source = preflight.asked_config(arguments.words, resume, arguments.paths_from)
    if arguments.dry_run:
        preflight.require_files(preflight.missing_trackers(config), source)
        return preflight.dry_run(config, source, preflight.missing_files(config))
    from videothinker.cli.functions import begin
    from videothinker.run.lock import finished_summary

    if resume and (summary := finished_summary(resume)):
        return _trained(summary, resume, f"{resume} is finished: there is nothing left to train")
    return _trained(*begin(config, source, resume))


def _trained(summary: dict[str, Any], run: Path, *notes: str) -> Outcome:
    from videothinker.report.results import results_table

    text = f"{results_table(summary['models'])}\n\n{run / 'report.html'}"
    return Outcome(text=text, result=summary, notes=notes)


@verb(
    "videothinker submit configs/cdpo.yaml --address http://127.0.0.1:8265 --follow",
    config_words(),
    argument("--address", required=True, metavar="URL", help="of the job server"),
    flag("--follow", "show the job's output, and end as it ends"),
)
def submit(arguments: Namespace) -> Outcome:
    """Run a training through Ray's job server, from this checkout."""
    from videothinker.cli.preflight import asked_config, missing_files, require_files

    config, source = asked_config(arguments.words)
    missing = missing_files(config)
    from cluster.start.connecting import is_here
    from cluster.verbs import submit as jobs

    if is_here(arguments.address):
        require_files(missing, source)
    notes = [f"warning: here, and so perhaps there too: {line}" for line in missing]
    job = jobs.submit(config, source, arguments.address)
    if arguments.follow:
        return Outcome(**jobs.follow(job))
    return Outcome(text=job.text(), result=job.as_dict(), notes=notes)


@verb(
    "videothinker scale runs/cdpo --rollouts 4",
    RUN,
    argument("--rollouts", type=int, metavar="N", help="rollout workers"),
    argument("--scorers", type=int, metavar="N", help="processes that hold the anchor"),
)
def scale(arguments: Namespace) -> Outcome:
    """Change the number of workers of a live run, from any shell; those who leave finish first."""
    from videothinker.run import wishes

    answer = wishes.scale(arguments.run, arguments.rollouts, arguments.scorers)
    text = "\n".join(
        f"{role}: {answer[role]} wanted, {answer[f'{role}_live']} at work now"
        for role in ("rollouts", "scorers")
    )
    return Outcome(text=text, result=answer)


@verb(
    "videothinker stop runs/cdpo",
    RUN,
    argument(
        "--wait",
        type=float,
        default=STOP_SECONDS,
        metavar="SECONDS",
        help="how long to wait for the end, which comes in any case (default 600)",
    ),
)
def stop(arguments: Namespace) -> Outcome:
    """End a live run after its current step, with its state saved, from any shell."""
    from videothinker.run import wishes

    status = wishes.stop(arguments.run, arguments.wait)
    if status["state"] == "finished":
        text = f"{arguments.run}: finished before it could stop"
    else:
        text = (
            f"{arguments.run}: stopped at step {status['step']} of stage {status['stage']}; the"
            f" command that began it goes on, and so does `videothinker train --resume"
            f" {arguments.run}`"
        )
    return Outcome(text=text, result=status)

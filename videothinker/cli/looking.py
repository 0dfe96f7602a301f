"""The verbs that only look: at this machine, at what a run would need, at a run, at a reward."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from videothinker.cli.verb import RUN, Outcome, argument, config_words, flag, verb
from videothinker.errors import InputError


@verb(
    "videothinker doctor --json",
    flag("--deep", "import the large packages too (a minute)"),
)
def doctor(arguments: Namespace) -> Outcome:
    """What is installed, what was found, what is wrong and the remedy."""
    from videothinker.cli.doctor import examine, table

    findings = examine(deep=arguments.deep)
    wrong = sum(finding.state == "wrong" for finding in findings)
    return Outcome(
        text=table(findings),
        result={"wrong": wrong, "findings": [finding.as_dict() for finding in findings]},
        exit_code=1 if wrong else 0,
    )


@verb(
    "videothinker plan configs/cdpo_2xa6000.yaml --gpus 2 --gpu-memory 48 --host-memory 128",
    config_words(),
    argument("--gpus", type=int, default=0, metavar="N", help="of each machine"),
    argument("--gpu-memory", type=float, default=0.0, metavar="GB", help="of each GPU"),
    argument("--host-memory", type=float, metavar="GB", help="of each machine, if limited"),
    argument("--nodes", type=int, default=1, metavar="N", help="machines (default 1)"),
)
def plan(arguments: Namespace) -> Outcome:
    """Memory by device and predicted step time, before anything starts."""
    from videothinker.planning import plan

    text, result = plan.run(
        arguments.words,
        nodes=arguments.nodes,
        gpus=arguments.gpus,
        gpu_gb=arguments.gpu_memory,
        host_gb=arguments.host_memory,
    )
    return Outcome(text=text, result=result)


@verb(
    "videothinker status runs/quickstart --watch",
    RUN,
    flag("--watch", "every second again, until the run ends"),
)
def status(arguments: Namespace) -> Outcome:
    """One screen about a run: how far, how fast, who works, what it earns and says."""
    from videothinker.status import watch

    notes = watch.watch(arguments.run, arguments.json) if arguments.watch else ()
    text, result = watch.look(arguments.run)
    return Outcome(text=text, result=result, notes=notes)


@verb(
    "videothinker report runs/quickstart",
    RUN,
    flag("--tensorboard", "RUN/tensorboard as well"),
)
def report(arguments: Namespace) -> Outcome:
    """Write RUN/report.html now, from what the run has left so far."""
    from videothinker.report.page import write_report

    page = write_report(arguments.run)
    lines, result = [str(page)], {"report": str(page)}
    if arguments.tensorboard:
        from videothinker.report.tensorboard import write_events

        folder = write_events(arguments.run)
        lines.append(f"{folder}  (tensorboard --logdir {folder})")
        result["tensorboard"] = str(folder)
    return Outcome(text="\n".join(lines), result=result)


@verb(
    "videothinker reward try rewards.py:brief --run runs/mine",
    argument("what", choices=["try"]),
    argument("call", metavar="FILE.py:FUNCTION"),
    argument("--run", type=Path, required=True, metavar="RUN"),
    argument("--steps", type=int, default=5, metavar="N", help="of the run's newest (default 5)"),
    argument("--seconds", type=float, default=60.0, metavar="S", help="for a group (default 60)"),
)
def reward(arguments: Namespace) -> Outcome:
    """Pay for completions that a run has made, with a function of yours."""
    from pydantic import ValidationError

    from videothinker.config.rewards import RewardConfig
    from videothinker.run.trying import try_reward

    if arguments.steps < 1:
        raise InputError(f"--steps {arguments.steps}: at least one step is needed")
    try:
        reward = RewardConfig(call=arguments.call, seconds=arguments.seconds)
    except ValidationError as error:
        [first, *_] = error.errors()
        raise InputError(f"{arguments.call}: {first['msg']}") from None
    if not reward.place[0].is_file():
        raise InputError(f"{reward.place[0]}: no such file; name a file and a function in it")
    trial = try_reward(reward, arguments.run, arguments.steps)
    notes = [f"printed: {line}" for line in trial.printed.splitlines()]
    notes += [f"not paid: {reason}" for reason in trial.failures]
    return Outcome(text=trial.text(), result=trial.as_dict(), notes=notes)

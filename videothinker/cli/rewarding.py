"""The verb that shows a reward of the user's before anything is trained on it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from videothinker.cli.verb import Outcome, argument, verb
from videothinker.errors import InputError


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

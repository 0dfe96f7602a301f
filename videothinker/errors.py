"""Every error a user can meet. Anything else is our bug and shows a full traceback.

VideoThinkerError          exit 1: the run failed, and the message says what to do
├── InputError             exit 2: a file, setting or argument is wrong (what, where, remedy)
│   └── ConfigError        exit 2: all problems of one configuration at once
├── Stopped                exit 0: somebody asked the run to stop, and its state is saved
├── PlacementError         exit 1: the machine is too small for the configuration
├── WeightsError           exit 1: an engine does not hold the weights that were published
├── Lost                   exit 1: a process died, hangs or cannot be trusted
├── RayLost                exit 1: a part of this run's own Ray died
├── InputLost              exit 1: what a call was given went down with the machine it lay on
├── GivenUp                exit 1: what was tried by several processes that were all lost
└── DivergenceError        exit 1: collapse, a number not finite, or sampler and learner disagree

Each takes one message argument, because an exception that needs more loses its class on its way
through Ray.
"""


class VideoThinkerError(Exception):
    """A failure the user can act on."""

    exit_code = 1


class InputError(VideoThinkerError):
    """A file, setting or argument is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration cannot be run."""


class Stopped(VideoThinkerError):
    """No failure: somebody asked the run to stop, and its state is saved."""

    exit_code = 0


class PlacementError(VideoThinkerError):
    """The machine is too small for the configuration."""


class WeightsError(VideoThinkerError):
    """An engine does not hold the weights that were published."""


class Lost(VideoThinkerError):
    """A process died, hangs or cannot be trusted; another must do what it was doing."""


class RayLost(VideoThinkerError):
    """A part of this run's own Ray died, and with it everything that ran on it."""


class InputLost(VideoThinkerError):
    """What a call was given went down with the machine it lay on, and must be made again."""


class GivenUp(VideoThinkerError):
    """A piece of work was tried by several processes, and all of them were lost."""


class DivergenceError(VideoThinkerError):
    """The policy collapses, a number is not finite, or sampler and learner disagree."""

"""Tell one tracker of one run: `python -m videothinker.tracking RUN NAME`, begun by the driver.

Ends when its standard input does; what stood there says whether the run came to its end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType

from videothinker.files import read_json
from videothinker.status.snapshot import read_snapshot
from videothinker.tracking.beside import CLOSING_SECONDS, FINISHED, state_file
from videothinker.tracking.record import Growing, Told, models_of
from videothinker.tracking.trackers import MADE_BY, Tracked

LOOK_SECONDS = 1.0
"""Between two looks at what the run has written."""
GRACE_SECONDS = 5
"""By which a driver that lives is faster to end this process than its own alarm."""


def tell(run: Path, name: str) -> None:
    """Until the driver has no more to say, and then the rest of it."""
    end = End()
    snapshot = read_snapshot(run, tail=1)
    told = Told(state_file(run, name))
    described = Tracked(name=snapshot.name, path=run, config=snapshot.config)
    tracker = MADE_BY[name](described, told.id)
    told.id = tracker.id
    told.save()
    lines, over = Growing(run / "metrics.jsonl"), False
    while not over:
        over = end.came(LOOK_SECONDS)  # first, so that the last look sees everything
        models = models_of(read_json(run / "summary.json"))
        if sum(1 for _ in map(tracker.log, told.news(lines.lines(), models))):
            told.save()
    tracker.close(end.finished)


class End:
    """What the driver says when it leaves, or that it is gone.

    From then on the time is limited, also that of a library which is still busy with beginning.
    """

    def __init__(self) -> None:
        self._came = threading.Event()
        self.finished = False
        threading.Thread(target=self._listen, daemon=True).start()

    def came(self, seconds: float) -> bool:
        """Wait that long for it."""
        return self._came.wait(seconds)

    def _listen(self) -> None:
        said = b""
        while word := os.read(0, 100):  # sys.stdin has a lock, for which an exit would wait
            said += word
        self.finished = said == FINISHED
        signal.alarm(CLOSING_SECONDS + GRACE_SECONDS)
        self._came.set()


def end_at_once(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An error's traceback is the last that is said, and no exit handler waits for a network."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    os.nice(5)  # the run comes first
    sys.excepthook = end_at_once
    tell(Path(sys.argv[1]), sys.argv[2])

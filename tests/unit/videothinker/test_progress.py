import io

import pytest

from videothinker.progress import ProgressLine, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine("mini", stream, clock)
    clock.now = 20.0
    progress(40, 100, "video_00039.mp4")
    assert stream.getvalue() == "mini: 40/100, 2.0/s, about 30 s left, video_00039.mp4\n"


def test_a_log_gets_a_line_at_most_every_ten_seconds_and_the_last() -> None:
    stream, clock = io.StringIO(), Clock()
    with ProgressLine("mini", stream, clock) as progress:
        for done in range(1, 251):
            clock.now = done / 10
            progress(done, 250)
    lines = stream.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "mini: 100/250",
        "mini: 200/250",
        "mini: 250/250",
    ]
    assert lines[-1].endswith("done in 25 s")


def test_a_terminal_line_is_rewritten_and_leaves_nothing_behind() -> None:
    stream, clock = Terminal(), Clock()
    with ProgressLine("mini", stream, clock) as progress:
        clock.now = 1.0
        progress(1, 2, "a rather long note")
        clock.now = 2.0
        progress(2, 2)
    first, last = stream.getvalue().removeprefix("\r").split("\r")
    assert len(last.removesuffix("\n")) >= len(first)
    assert last.endswith("\n")


def test_nothing_done_yet_promises_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine("mini", stream, clock)
    clock.now = 11.0
    progress(0, 5)
    assert stream.getvalue() == "mini: 0/5\n"


def test_what_came_before_the_first_piece_was_begun_does_not_count() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine("evaluate", stream, clock)
    clock.now = 60.0
    progress(0, 40)
    clock.now = 80.0
    progress(20, 40)
    assert stream.getvalue().splitlines()[-1] == "evaluate: 20/40, 1.0/s, about 20 s left"


def test_looking_again_at_nothing_done_does_not_turn_the_clock_back() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine("stages", stream, clock)
    for now in (0.0, 60.0):
        clock.now = now
        progress(0, 2)
    clock.now = 80.0
    progress(1, 2)
    assert stream.getvalue().splitlines()[-1] == "stages: 1/2, 80.0 s each, about 1 min 20 s left"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (11400, "3 h 10 min")]
)
def test_durations_are_said_as_a_person_would(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_terminal_narrower_than_the_line_is_not_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream, clock = Terminal(), Clock()
    progress = ProgressLine("mini", stream, clock)
    clock.now = 1.0
    progress(1, 2, "a note far too long for this terminal")
    assert stream.getvalue() == "\rmini: 1/2, 1.0/s, about 1 s left, a not"


def test_the_name_of_a_file_does_not_act_on_the_terminal() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine("prepare", stream, clock)
    clock.now = 20.0
    progress(1, 2, "\x1b]0;owned\x07.mp4")
    assert stream.getvalue().endswith("left, '\\x1b]0;owned\\x07.mp4'\n")

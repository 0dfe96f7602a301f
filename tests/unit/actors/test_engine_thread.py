"""The engine's thread, with an engine that counts instead of sampling."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from actors.engine_thread import EngineThread
from videothinker.errors import Lost

LIMIT = 10.0


class Counting:
    """A request is finished after as many steps as it asks for."""

    def __init__(self) -> None:
        self.thread = EngineThread(self.step, self.abort)
        self.left: dict[str, int] = {}
        self.steps: list[list[str]] = []
        """Who took part in each."""
        self.aborted: list[str] = []
        self.threads: set[int] = set()
        self.failure: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def step(self) -> Iterator[tuple[str, str]]:
        self.go_on.wait(LIMIT)
        self.threads.add(threading.get_ident())
        self.steps.append(sorted(self.left))
        if self.failure is not None and len(self.steps) > 2:
            raise self.failure
        for name in sorted(self.left):
            self.left[name] -= 1
            if not self.left[name]:
                del self.left[name]
                yield name, f"result of {name}"

    def abort(self, names: list[str]) -> None:
        self.aborted += names
        for name in names:
            del self.left[name]

    def add(self, **steps: int) -> list[str]:
        self.threads.add(threading.get_ident())
        self.left |= steps
        return list(steps)

    def finished(self, **steps: int) -> Iterator[tuple[int, str]]:
        return self.thread.finished(partial(self.add, **steps))


def test_each_request_comes_back_by_number_as_soon_as_it_is_finished() -> None:
    engine = Counting()
    assert list(engine.finished(a=3, b=1)) == [(1, "result of b"), (0, "result of a")]
    assert engine.steps == [["a", "b"], ["a"], ["a"]]


def test_callers_from_several_threads_get_their_own() -> None:
    engine = Counting()
    with ThreadPoolExecutor(8) as callers:
        answers = [
            callers.submit(lambda n=n: list(engine.finished(**{f"{n}x": 5, f"{n}y": 3})))
            for n in range(8)
        ]
    for number, answer in enumerate(answers):
        assert answer.result() == [(1, f"result of {number}y"), (0, f"result of {number}x")]
    assert len(engine.threads) == 1


def test_the_requests_of_one_call_enter_before_the_same_step() -> None:
    engine = Counting()
    engine.go_on.clear()
    with ThreadPoolExecutor(4) as callers:
        answers = [
            callers.submit(lambda n=n: list(engine.finished(**{f"{n}x": 4, f"{n}y": 4})))
            for n in range(4)
        ]
        engine.go_on.set()
    assert all(answer.result() for answer in answers)
    for present in engine.steps:
        assert {f"{name[0]}x" for name in present} | {f"{name[0]}y" for name in present} == set(
            present
        )


def test_a_call_is_executed_between_two_steps_while_requests_run() -> None:
    engine = Counting()
    with ThreadPoolExecutor(1) as caller:
        sampling = caller.submit(lambda: list(engine.finished(a=10**9)))
        while engine.thread.call(lambda: not engine.steps):
            pass
        assert not sampling.done()
        engine.thread.call(lambda: engine.left.update(a=1))
        assert sampling.result(LIMIT) == [(0, "result of a")]


def test_a_failing_engine_fails_everybody_who_waits_and_whoever_comes_later() -> None:
    engine = Counting()
    engine.failure = MemoryError("no room")
    engine.go_on.clear()
    with ThreadPoolExecutor(3) as callers:
        waiting = [
            callers.submit(lambda n=n: list(engine.finished(**{f"{n}x": 9}))) for n in range(3)
        ]
        engine.go_on.set()
        for caller in waiting:
            with pytest.raises(Lost, match="the engine failed: MemoryError: no room"):
                caller.result(LIMIT)
    with pytest.raises(Lost, match="no room"):
        engine.thread.call(lambda: None)
    with pytest.raises(Lost, match="no room"):
        next(engine.finished(late=1))


def test_the_error_of_a_call_is_the_callers_alone() -> None:
    engine = Counting()

    def refused() -> list[str]:
        raise ValueError("too long")

    with pytest.raises(ValueError, match="too long"):
        next(engine.thread.finished(refused))
    assert list(engine.finished(a=1)) == [(0, "result of a")]


def test_who_turns_away_takes_his_requests_along() -> None:
    engine = Counting()
    answers = engine.finished(a=1, b=10**9, c=10**9)
    assert next(answers) == (0, "result of a")
    answers.close()  # type: ignore[attr-defined]
    assert engine.aborted == ["b", "c"]
    assert engine.thread.call(lambda: engine.thread.idle)
    assert list(engine.finished(d=1)) == [(0, "result of d")]


def test_a_call_that_fails_is_its_callers_business_unless_the_engine_is_lost() -> None:
    lost = [""]
    thread = EngineThread(list, lambda _: None, lambda: lost[0])

    def fail() -> None:
        raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        thread.call(fail)
    assert thread.call(lambda: "sound") == "sound"
    lost[0] = "a process died"
    with pytest.raises(Lost, match="a process died"):
        thread.call(fail)
    lost[0] = ""
    with pytest.raises(Lost, match="a process died"):
        thread.call(lambda: "sound")

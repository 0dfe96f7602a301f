"""What a process says of itself while several threads of it work."""

from __future__ import annotations

import pickle

from videothinker.process.pulse import Pulse


def test_a_process_says_what_it_began_last() -> None:
    process = Pulse()
    assert process.pulse().doing == "idle"
    with process.doing("sampling"):
        with process.doing("loading"):
            assert process.pulse().doing == "loading"
        assert process.pulse().doing == "sampling"
    assert process.pulse().doing == "idle"


def test_what_ends_first_was_not_begun_last_where_threads_overlap() -> None:
    process = Pulse()
    first, second = process.doing("unit 1"), process.doing("unit 2")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert process.pulse().doing == "unit 2"
    second.__exit__(None, None, None)
    assert process.pulse().doing == "idle"


def test_processes_do_not_speak_for_each_other() -> None:
    one, other = Pulse(), Pulse()
    with one.doing("sampling"):
        assert other.pulse().doing == "idle"


def test_a_sign_of_life_says_what_the_process_holds() -> None:
    sign = pickle.loads(pickle.dumps(Pulse().pulse()))  # it travels
    assert 1e6 < sign.usage.memory <= sign.usage.peak

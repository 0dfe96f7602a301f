"""Functions of the user's that pay: what they are given, and what happens when they go wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from documented import first_program

from videothinker.config.rewards import RewardConfig
from videothinker.errors import InputError
from videothinker.method import paying
from videothinker.method.paying import Rewards, described

FILE = '''
import asyncio, ctypes, math, os, sys, time
import numpy as np

loaded = os.getpid()


def brief(completion, question):
    """1 for few words."""
    return float(len(completion.split()) <= 2)


def process(completion, question):
    return os.getpid()


def told(completion, question):
    said = (question.id, question.answer, question.options, question.kind, question.category)
    assert said == ("q", "A", (("A", "this"), ("B", "that")), "multi", ""), said
    return 1


def whole(completions, question):
    return np.arange(len(completions)) / 2


async def later(completion, question):
    await asyncio.sleep(0.4)
    return len(completion)


async def whole_later(completions, question):
    await asyncio.sleep(0.01)
    return [len(one) for one in completions]


class Judge:
    def __call__(self, completion, question):
        return 0.25


judge = Judge()
constant = 3


def alone(completion):
    return 1


def nothing(completion, question):
    return None


def words(completion, question):
    return "0.5"


def not_a_number(completion, question):
    return math.nan


def few(completions, question):
    return [1.0]


def one_for_all(completions, question):
    return 1.0


def raises(completion, question):
    return {}["no such key"]


def leaves(completion, question):
    sys.exit("enough")


def hangs(completion, question):
    if completion == "hang":
        time.sleep(60)
    return os.getpid()


def crashes(completion, question):
    if completion == "crash":
        ctypes.string_at(0)
    return os.getpid()


def quits(completion, question):
    os._exit(7)


def swells(completion, question):
    return len(bytearray(10 * 2**30))


def chatters(completion, question):
    print("{}", flush=True)
    os.write(1, b"{\\"paid\\": [9]}\\n")
    sys.stdout.write("x" * 1_000_000)
    return 1
'''


def line(code: str) -> str:
    """Where a line of the file is."""
    return f"(line {FILE.splitlines().index(code) + 1})"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's file, in a folder with a module that it may import."""
    file = tmp_path_factory.mktemp("own") / "rewards.py"
    file.write_text(FILE)
    return file


def paid(file: Path, name: str, *completions: str, **settings: Any) -> list[float]:
    """What a function pays for completions of the question that all tests ask."""
    reward = RewardConfig(call=f"{file}:{name}", **settings)
    with closing(Rewards([reward])) as rewards:
        [values] = rewards.of(builders.question(), completions).values()
    assert values.dtype == np.float32
    return list(values.tolist())


def problem(file: Path, name: str, *completions: str, **settings: Any) -> str:
    """Why a function's pay is refused."""
    with pytest.raises(InputError) as caught:
        paid(file, name, *completions, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_function_pays_each_completion(file: Path) -> None:
    assert paid(file, "brief", "two words", "more than two words") == [1, 0]


def test_a_function_is_told_all_of_the_question(file: Path) -> None:
    assert paid(file, "told", "x") == [1]


def test_a_function_of_completions_is_given_the_group(file: Path) -> None:
    assert paid(file, "whole", "a", "b", "c") == [0, 0.5, 1]


def test_completions_are_paid_side_by_side_where_the_function_waits(file: Path) -> None:
    with closing(Rewards([RewardConfig(call=f"{file}:later")])) as rewards:
        rewards.of(builders.question(), ["warm"])
        started = time.monotonic()
        [values] = rewards.of(builders.question(), ["a", "bb", "ccc", "dddd"]).values()
    assert values.tolist() == [1, 2, 3, 4]
    assert time.monotonic() - started < 1.2
    assert paid(file, "whole_later", "a", "bb") == [1, 2]


def test_what_can_be_called_is_a_function(file: Path) -> None:
    assert paid(file, "judge", "x") == [0.25]


def test_a_weight_multiplies_what_is_paid_and_parts_keep_their_names(file: Path) -> None:
    rewards = [
        RewardConfig(name="format", weight=0.25),
        RewardConfig(call=f"{file}:brief", weight=-0.5),
    ]
    with closing(Rewards(rewards)) as both:
        earned = both.of(builders.question(), ["<think>x</think><answer>A</answer>", "a b c"])
    assert {name: values.tolist() for name, values in earned.items()} == {
        "format": [0.25, 0],
        "brief": [-0.5, 0],
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "it paid None for completion 1; a number is asked for"),
        ("words", "it paid '0.5' for completion 1; a number is asked for"),
        ("not_a_number", "it paid nan for completion 1; rewards are finite"),
        ("few", "it paid 1 values for 2 completions"),
        ("one_for_all", "it paid 1.0 for a group; a list of 2 is asked for"),
        ("raises", "KeyError: 'no such key' " + line('    return {}["no such key"]')),
        ("leaves", "SystemExit: enough " + line('    sys.exit("enough")')),
        ("quits", "its process crashed (exit code 7)"),
        ("absent", "cannot be loaded (there is no function absent; it has brief, process, "),
        ("constant", "cannot be loaded (there is no function constant; it has brief, "),
        ("alone", "cannot be loaded (it does not take (completion, question), or (completions, "),
    ],
)
def test_a_function_that_fails_is_named_with_its_fault(file: Path, name: str, said: str) -> None:
    assert problem(file, name, "a", "b").startswith(f"reward rewards.py:{name}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (line 1)"),
        ("x = 1\ndef broken(:", "SyntaxError: invalid syntax (broken.py, line 2) (line 2)"),
        ("raise SystemExit", "SystemExit (line 1)"),
    ],
)
def test_a_file_that_does_not_load_is_told_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "broken.py").write_text(text)
    assert problem(tmp_path / "broken.py", "x", "a") == (
        f"reward broken.py:x: cannot be loaded ({said})"
    )


def test_a_file_may_import_what_lies_beside_it_and_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "helping.py").write_text("HALF = 0.5")
    (tmp_path / "json.py").write_text(
        "import json\nfrom helping import HALF\ndef half(completion, question):\n"
        "    return HALF if json.loads('1') else 0\n"
    )
    assert paid(tmp_path / "json.py", "half", "a") == [0.5]


@pytest.fixture
def pair(file: Path, request: pytest.FixtureRequest) -> Iterator[Rewards]:
    """A function, named by the test, with half a second for a group."""
    with closing(Rewards([RewardConfig(call=f"{file}:{request.param}", seconds=0.5)])) as rewards:
        yield rewards


def payer(rewards: Rewards) -> int:
    """The process that pays."""
    [values] = rewards.of(builders.question(), ["fine"]).values()
    return int(values[0])


@pytest.mark.parametrize(
    ("pair", "text", "said"),
    [
        ("hangs", "hang", "took longer than 0.5 s for one group (its `seconds`)"),
        ("crashes", "crash", "its process crashed (SIGSEGV)"),
    ],
    indirect=["pair"],
)
def test_a_function_that_hangs_or_crashes_costs_one_group(
    pair: Rewards, text: str, said: str
) -> None:
    before = payer(pair)
    with pytest.raises(InputError) as caught:
        pair.of(builders.question(), ["fine", text])
    assert str(caught.value).endswith(said)
    assert payer(pair) != before
    assert before != os.getpid()


def test_memory_beyond_the_limit_is_not_given(file: Path) -> None:
    said = problem(file, "swells", "a", memory_gb=2)
    where = line("    return len(bytearray(10 * 2**30))")
    assert said == f"reward rewards.py:swells: MemoryError {where}: it may take 2 GB (memory_gb)"


def test_what_a_function_prints_is_no_pay_and_can_be_read(file: Path) -> None:
    with closing(Rewards([RewardConfig(call=f"{file}:chatters")])) as rewards:
        [values] = rewards.of(builders.question(), ["a", "b"]).values()
        assert values.tolist() == [1, 1]
        printed = rewards.printed()
        assert printed.count('{"paid": [9]}') == 2
        rewards.of(builders.question(), ["a"])
        assert rewards.printed().count('{"paid": [9]}') == 1


def test_paying_soon_keeps_nobody_from_other_work(file: Path) -> None:
    async def both() -> list[Any]:
        rewards = Rewards([RewardConfig(call=f"{file}:later")])
        with closing(rewards):
            groups = [rewards.soon(builders.question(), ["x"] * count) for count in (1, 2)]
            ticks, ended = 0, asyncio.gather(*groups)
            while not ended.done():
                await asyncio.sleep(0.05)
                ticks += 1
            assert ticks > 5
            return await ended

    assert [len(earned["later"]) for earned in asyncio.run(both())] == [1, 2]


def test_closing_ends_a_group_that_is_being_paid(file: Path) -> None:
    rewards = Rewards([RewardConfig(call=f"{file}:hangs")])
    pid = payer(rewards)
    failed: list[str] = []

    def pay() -> None:
        try:
            asyncio.run(rewards.soon(builders.question(), ["hang"]))
        except InputError as error:
            failed.append(str(error))

    thread = threading.Thread(target=pay)
    thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    rewards.close()
    thread.join(10)
    assert time.monotonic() - started < 5
    assert failed == ["reward rewards.py:hangs: its process crashed (SIGKILL)"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_a_lineage_names_the_source_by_content(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "rewards.py"
    other.write_text(FILE + "\n")
    mine, changed = (
        described(RewardConfig(call=f"{one}:brief", weight=0.5)) for one in (file, other)
    )
    assert mine.startswith("0.5 x rewards.py:brief (")
    assert mine != changed
    assert described(RewardConfig(name="format")) == "format"


def test_a_file_that_came_with_a_job_goes_before_the_one_that_was_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paying, "CARRIED", tmp_path)
    (tmp_path / "brief.py").write_text("def brief(completion, question): return 7")
    assert paid(file, "brief", "x") == [7]
    assert paid(file, "told", "x") == [1]


def test_the_rewards_that_a_page_shows_pay_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "extending.md").read_text()
    (tmp_path / "rewards.py").write_text(first_program(page))
    short, long = "<think>It is.</think><answer>A</answer>", "so " * 120 + "<answer>A</answer>"
    assert paid(tmp_path / "rewards.py", "brief", short, long, "so " * 160) == [1, 0.5, 0]
    other = "<answer>B</answer>"
    assert paid(tmp_path / "rewards.py", "various", short, long, other) == [0, 0, 1]

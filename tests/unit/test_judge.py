"""The judge that comes as an example, asking a small server that stands in for a model's."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import builders
import pytest

from videothinker.config.rewards import RewardConfig
from videothinker.errors import InputError
from videothinker.method.called import load, paid, told
from videothinker.method.paying import Rewards
from videothinker.types import Question

FILE = Path(__file__).parents[2] / "configs" / "rewards" / "judge.py"
Pay = Callable[..., list[float]]


class Server(ThreadingHTTPServer):
    """Answers what `says` makes of a completion; each request first gets one of `refusals`."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: Callable[[str], str] = lambda text: json.dumps({"score": len(text)})
        self.seconds = 0.0
        self.refusals: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.waiting = self.most = 0
        self.changing = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """OpenAI's protocol, as far as a judge speaks it."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.changing:
            self.server.asked.append(request)
            self.server.waiting += 1
            self.server.most = max(self.server.most, self.server.waiting)
            refusal = self.server.refusals.pop(0) if self.server.refusals else None
        time.sleep(self.server.seconds)
        with self.server.changing:
            self.server.waiting -= 1
        said = self.server.says(completion_in(request))
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 8, "total_tokens": 108},
        }
        self._send(refusal or 200, {"error": {"message": "busy"}} if refusal else answer)

    def _send(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def completion_in(request: dict[str, Any]) -> str:
    text: str = request["messages"][-1]["content"]
    return text.partition("<completion>")[2].removesuffix("</completion>")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where answers are kept, and everything else that the environment says."""
    for name, value in {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
        "OPENAI_API_KEY": "any",
        "JUDGE_MODEL": "wise",
        "JUDGE_CACHE": str(tmp_path / "made" / "judge.sqlite"),
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "made" / "judge.sqlite"


@pytest.fixture
def pay(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Pay:
    """What the file pays for a group each time that it is loaded anew, as a resumed run does."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    async def group(completions: tuple[str, ...], question: Question) -> list[float]:
        judge = load(FILE, "judge")
        client = judge.__globals__["client"]
        try:
            return await paid(judge, completions, question)
        finally:
            if client.cache_info().currsize:
                await client().close()

    def paying(*completions: str, question: Question | None = None) -> list[float]:
        return asyncio.run(group(completions, question or builders.question()))

    return paying


def cost(cache: Path) -> dict[str, int]:
    with closing(sqlite3.connect(cache)) as kept:
        return dict(kept.execute("SELECT what, number FROM cost"))


def print_cost(cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the file by itself."""
    command = [sys.executable, str(FILE), str(cache)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_score_of_10_pays_1(server: Server, pay: Pay) -> None:
    assert pay("", "seven..", "x" * 10) == [0, 0.7, 1]


def test_the_judge_is_told_the_right_answer_and_may_answer_nothing_but_a_score(
    server: Server, pay: Pay
) -> None:
    pay("because")
    [request] = server.asked
    assert request["model"] == "wise"
    assert request["messages"][-1]["content"] == (
        "Question: ?\nA. this\nB. that\nRight answer: A\n<completion>because</completion>"
    )
    assert request["response_format"]["type"] == "json_schema"
    schema = request["response_format"]["json_schema"]
    assert schema["strict"]
    assert schema["schema"]["required"] == ["score"]


@pytest.mark.parametrize("refusals", [[429], [500, 503, 429]])
def test_a_server_that_is_busy_is_asked_again(
    server: Server, pay: Pay, cache: Path, refusals: list[int]
) -> None:
    server.refusals, tries = list(refusals), len(refusals) + 1
    assert pay("four") == [0.4]
    assert len(server.asked) == tries
    assert cost(cache)["requests"] == 1


def test_a_server_that_stays_busy_is_an_error_of_one_line(server: Server, pay: Pay) -> None:
    server.refusals = [429] * 9
    with pytest.raises(Exception, match="busy") as caught:
        pay("four")
    assert told(caught.value, FILE).startswith("RateLimitError: Error code: 429")
    assert len(server.asked) == 4


def test_equal_completions_are_asked_about_once_also_by_a_run_that_goes_on(
    server: Server, pay: Pay, cache: Path
) -> None:
    assert pay("a", "a", "bb", "a") == [0.1, 0.1, 0.2, 0.1]
    assert len(server.asked) == 2
    assert pay("bb", "ccc") == [0.2, 0.3]
    assert len(server.asked) == 3
    assert cost(cache) == {
        "requests": 3,
        "cached": 3,
        "tokens_in": 300,
        "tokens_out": 24,
    }


def test_another_question_or_another_judge_is_asked_anew(
    server: Server, pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay("a")
    pay("a", question=builders.question(answer="B"))
    monkeypatch.setenv("JUDGE_MODEL", "wiser")
    pay("a")
    assert len(server.asked) == 3


def test_a_group_is_judged_side_by_side_within_bounds(server: Server, pay: Pay) -> None:
    server.seconds = 0.3
    pay(*(f"{number}" for number in range(20)))
    assert server.most == 16


@pytest.mark.parametrize(
    "said",
    ["Great!", "", "7", '{"points": 7}', '{"score": "7"}', '{"score": 11}', '{"score": true}'],
)
def test_an_answer_without_a_score_is_an_error_paid_for_and_not_kept(
    server: Server, pay: Pay, cache: Path, said: str
) -> None:
    server.says = lambda _: said
    with pytest.raises(ValueError, match="wise answered") as caught:
        pay("a")
    line = told(caught.value, FILE)
    assert line.startswith(f"ValueError: wise answered {said!r} in place of a score (line ")
    assert cost(cache) == {"requests": 1, "tokens_in": 100, "tokens_out": 8}
    server.says = lambda _: '{"score": 5}'
    assert pay("a") == [0.5]


@pytest.mark.parametrize(
    ("name", "said"), [("JUDGE_MODEL", "JUDGE_MODEL is not set"), ("OPENAI_API_KEY", "api_key")]
)
def test_a_setting_that_is_missing_is_named(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(Exception, match=said):
        pay("a")


def test_two_runs_share_a_cache_and_each_request_is_counted(server: Server, cache: Path) -> None:
    reward = RewardConfig(call=f"{FILE}:judge", weight=0.5, memory_gb=1)

    def run(first: int) -> float:
        with closing(Rewards([reward])) as rewards:
            texts = ["x" * (number % 11) + " " * number for number in range(first, first + 12)]
            server.says = lambda text: json.dumps({"score": text.count("x")})
            [values] = rewards.of(builders.question(), texts).values()
            return float(values.sum())

    with ThreadPoolExecutor(2) as runs:
        sums = list(runs.map(run, (0, 4)))
    assert sums == pytest.approx(
        [sum(number % 11 for number in range(at, at + 12)) / 20 for at in (0, 4)]
    )
    spent = cost(cache)
    assert spent["requests"] == len(server.asked)
    assert spent["requests"] + spent.get("cached", 0) == 24
    assert spent["tokens_in"] == 100 * len(server.asked)


def test_a_run_hears_of_a_judge_that_says_no_score(server: Server, cache: Path) -> None:
    server.says = lambda _: "I\nlike it"
    with closing(Rewards([RewardConfig(call=f"{FILE}:judge")])) as rewards:
        with pytest.raises(InputError) as caught:
            rewards.of(builders.question(), ["a", "b"])
        server.says = lambda _: '{"score": 2}'
        [values] = rewards.of(builders.question(), ["a", "c"]).values()
    assert str(caught.value).startswith(
        "reward judge.py:judge: ValueError: wise answered 'I\\nlike it' in place of a score (line"
    )
    assert values.tolist() == pytest.approx([0.2, 0.2])


def test_the_cost_is_printed(pay: Pay, cache: Path) -> None:
    pay(*(f"{number:x<5}" for number in range(11)), "0xxxx")
    printed = [line.split() for line in print_cost(cache).stdout.splitlines()]
    assert printed == [
        ["requests", "11"],
        ["cached", "1"],
        ["tokens_in", "1,100"],
        ["tokens_out", "88"],
    ]


def test_a_cache_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = print_cost(tmp_path / "none")
    assert done.returncode == 1
    assert "name the file that JUDGE_CACHE names" in done.stderr
    assert not (tmp_path / "none").exists()

"""An engine's memory, let go of and had again: the order of it, and what may be asked when."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from actors.engine_thread import EngineThread
from actors.ranks import Ranks
from actors.vllm_engine import VllmEngine
from actors.vllm_sleep import Sleep, give_back
from videothinker.errors import Lost, WeightsError

ROUTE: Any = object()


class Recording:
    """What an engine has its worker do, in order; `fault` is what one of it then raises or says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.raises: dict[str, Exception] = {}
        self.refuses: str | None = None

    def collective_rpc(self, method: str, args: tuple[Any, ...] = ()) -> list[str | None]:
        what = f"awaken {args[0]}" if method == "awaken" else method
        self.said.append(what)
        if what in self.raises:
            raise self.raises[what]
        return [self.refuses]

    def reset_prefix_cache(self, reset_running_requests: bool) -> None:
        self.said.append("forget prefixes")

    def reset_encoder_cache(self) -> None:
        self.said.append("forget features")

    def add_request(self, name: str, prompt: Any, params: Any, lora_request: Any) -> None:
        self.said.append(f"add {prompt}")

    def has_unfinished_requests(self) -> bool:
        return True

    output_processor = SimpleNamespace(request_states={})
    model_executor = None

    @property
    def llm_engine(self) -> Recording:
        return self

    engine_core = llm_engine


@pytest.fixture
def vllm() -> Recording:
    return Recording()


@pytest.fixture
def engine(vllm: Recording) -> VllmEngine:
    """Without a model."""
    made = object.__new__(VllmEngine)
    made.version, made._asleep, made._requests, made._histories = 0, False, 0, {}
    made._thread = EngineThread(made._step, made._abort)
    made._llm = made._engine = vllm
    made._ranks = Ranks(vllm, 1, "cpu")
    made._beside, made._adapter = False, None
    return made


def sample(engine: VllmEngine) -> None:
    engine._thread.call(lambda: engine._add([("a prompt", None)]))


def load(engine: VllmEngine) -> None:
    engine.load(7, [])


def receive(engine: VllmEngine) -> None:
    engine.receive(7, ROUTE)


FORGET = ["forget prefixes", "forget features"]
WAYS = pytest.mark.parametrize(
    ("way", "method"), [(load, "replace_weights"), (receive, "receive_weights")]
)


@WAYS
def test_weights_have_memory_before_they_come_and_the_cache_when_they_are_there(
    engine: VllmEngine, vllm: Recording, way: Callable[[VllmEngine], None], method: str
) -> None:
    engine.sleep()
    way(engine)
    sample(engine)
    woken = ["awaken weights", method, *FORGET, "awaken kv_cache"]
    assert vllm.said == [*FORGET, "fall_asleep", *woken, *FORGET, "add a prompt"]
    assert engine.version == 7


@WAYS
def test_who_does_not_sleep_is_not_woken(
    engine: VllmEngine, vllm: Recording, way: Callable[[VllmEngine], None], method: str
) -> None:
    way(engine)
    assert vllm.said == [method, *FORGET]


def test_nothing_is_sampled_asleep(engine: VllmEngine, vllm: Recording) -> None:
    engine.sleep()
    with pytest.raises(WeightsError, match="asleep and holds no weights"):
        sample(engine)
    assert not any(said.startswith("add") for said in vllm.said)


def test_asleep_it_does_not_fall_asleep_again(engine: VllmEngine, vllm: Recording) -> None:
    """vLLM would keep what is there instead of its buffers."""
    engine.sleep()
    engine.sleep()
    assert vllm.said.count("fall_asleep") == 1


def test_it_does_not_sleep_over_requests(engine: VllmEngine, vllm: Recording) -> None:
    engine._thread._waiting["1"] = ROUTE
    with pytest.raises(WeightsError, match="while requests lie in it"):
        engine.sleep()
    assert vllm.said == []


@WAYS
@pytest.mark.parametrize("broken", ["awaken weights", "its own", "awaken kv_cache", "refused"])
def test_one_that_did_not_wake_with_its_weights_does_nothing_more(
    engine: VllmEngine,
    vllm: Recording,
    way: Callable[[VllmEngine], None],
    method: str,
    broken: str,
) -> None:
    engine.sleep()
    vllm.refuses = "a tensor is missing" if broken == "refused" else None
    vllm.raises = {method if broken == "its own" else broken: RuntimeError("out of memory")}
    said = "a tensor is missing" if broken == "refused" else "out of memory"
    with pytest.raises(WeightsError, match=f"did not wake with weights version 7: .*{said}"):
        way(engine)
    vllm.refuses, vllm.raises = None, {}
    for ask in (sample, load, receive):
        with pytest.raises(Lost, match=said):
            ask(engine)


class Worker(Sleep):
    """vLLM's, around a model of two layers that share a table, on a device of this name."""

    def __init__(self, device: str) -> None:
        self.said: list[Any] = []
        self.device = SimpleNamespace(type=device)
        self.sleep = lambda level: self.said.append(("sleep", level))
        self.wake_up = lambda tags: self.said.append(("wake_up", tags))
        table = torch.arange(3000.0)
        layers = torch.nn.ModuleList([torch.nn.Linear(500, 300) for _ in range(2)])
        for layer in layers:
            layer.register_buffer("table", table, persistent=False)
        layers[0].cpu_linear = layers[0].forward
        positions = torch.ones(3, 5, dtype=torch.int64)
        self.model_runner = SimpleNamespace(
            model=layers,
            kv_caches=[torch.ones(2, 70_000)],
            model_state=SimpleNamespace(rope_state=SimpleNamespace(positions=positions)),
        )


def test_on_a_gpu_it_is_vllms_own_sleep_and_what_that_leaves_undefined_is_zero() -> None:
    worker = Worker("cuda")
    runner = worker.model_runner
    worker.fall_asleep()
    worker.awaken("weights")
    assert not runner.model_state.rope_state.positions.any()
    assert runner.kv_caches[0].all()
    worker.awaken("kv_cache")
    assert worker.said == [("sleep", 2), ("wake_up", ["weights"]), ("wake_up", ["kv_cache"])]
    assert not runner.kv_caches[0].any()
    assert all(parameter.any() for parameter in runner.model.parameters())


def test_on_a_cpu_nothing_is_left_but_the_buffers_where_it_was() -> None:
    worker = Worker("cpu")
    runner = worker.model_runner
    places = [tensor.data_ptr() for tensor in runner.model.parameters()]
    worker.fall_asleep()
    assert not runner.model[0].table.any()
    with pytest.raises(WeightsError, match="while it slept"):
        runner.model[0].cpu_linear(torch.ones(500))
    worker.awaken("weights")
    worker.awaken("kv_cache")
    for layer in runner.model:
        assert torch.equal(layer.table, torch.arange(3000.0))
        assert not any(parameter.any() for parameter in layer.parameters())
    assert not runner.kv_caches[0].any()
    assert [tensor.data_ptr() for tensor in runner.model.parameters()] == places
    assert worker.said == []


def anonymous() -> int:
    """Bytes of this process's memory that are no file's."""
    [held] = re.findall(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(held)


@pytest.mark.parametrize("size", [1, 4095, 4096, 10_000, 1 << 26])
def test_a_storage_gives_its_pages_back_and_touches_nobody_elses(size: int) -> None:
    around = torch.ones(size + 200, dtype=torch.uint8)
    before = anonymous()
    inside = around.numpy()[100 : 100 + size]
    give_back(torch.from_numpy(inside).untyped_storage())
    assert before - anonymous() > size - (1 << 20)
    assert not inside.any()
    assert around[:100].all()
    assert around[100 + size :].all()

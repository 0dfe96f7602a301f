"""Both ends of a transfer, and what is refused: in threads, and with a receiver that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from videothinker.errors import WeightsError
from videothinker.model.transfer import (
    Receiver,
    Sender,
    Sending,
    entry,
    fingerprint,
    fingerprints,
    places,
)
from videothinker.process.address import LOOPBACK, listening, stay_on
from videothinker.types import Route

CPU = torch.device("cpu")
PATHS = ("ipc", "nccl")
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """As it was, for other tests: staying on an address is for the rest of a process's life."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def parts() -> list[Tensors]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "odd": torch.randn(3, generator=generator).bfloat16(),
            "matrix": torch.randn(70, 90, generator=generator),
            "number": torch.tensor(3.0),
        },
        {
            "transposed": torch.randn(50, 700, generator=generator).T,
            "nothing": torch.empty(0, 4),
            "flat": torch.randn(10_000, generator=generator)[3:],
        },
    ]


class Pair:
    """A sender, and what a route to a receiver needs."""

    def __init__(self, parts: list[Tensors]) -> None:
        stay_on(LOOPBACK)
        listener = listening(LOOPBACK)
        port = listener.getsockname()[1]
        self.store = TCPStore(
            LOOPBACK,
            port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )
        self.parts = parts
        self.sender = Sender(self.store, CPU, [[entry(*item) for item in p.items()] for p in parts])
        self._route = Route(
            path="ipc",
            host=LOOPBACK,
            port=port,
            number=0,
            link=1,
            receiver="rollout-0",
            receivers=1,
            seconds=20,
        )

    def route(self, path: Any, **changes: Any) -> Route:
        return replace(self._route, path=path, **changes)

    def send(
        self, route: Route, version: int = 1, meddle: Callable[[Sending], None] = lambda _: None
    ) -> str:
        """Why it broke off."""
        sending = self.sender.begin(route, version)
        for part in self.parts:
            sending.part(part)
            meddle(sending)
        return self.sender.end(route, sending)


@pytest.fixture
def pair(parts: list[Tensors]) -> Pair:
    return Pair(parts)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def received(route: Route, receiver: Receiver, version: int = 1) -> Tensors:
    return dict(receiver.begin(route, version).tensors())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("receivers", [1, 2])
def test_every_receiver_has_in_its_own_memory_what_was_sent(
    pair: Pair, aside: ThreadPoolExecutor, path: str, receivers: int
) -> None:
    ends = [Receiver(rank, CPU) for rank in range(receivers)]
    for number in range(3):  # over the same link
        route = pair.route(path, receivers=receivers, number=number)
        coming = [aside.submit(received, route, end) for end in ends]
        assert pair.send(route) == ""
        for one in coming:
            expected = {name: t for part in pair.parts for name, t in part.items()}
            found = one.result()
            assert list(found) == list(expected)
            for name, tensor in expected.items():
                assert found[name].dtype == tensor.dtype
                assert torch.equal(found[name], tensor), name
        pair.parts[0]["matrix"] += 1  # before the next, and not seen by who has received


@pytest.mark.parametrize("path", PATHS)
def test_another_version_is_refused_before_anything_is_sent(
    pair: Pair, aside: ThreadPoolExecutor, path: str
) -> None:
    coming = aside.submit(received, pair.route(path), Receiver(0, CPU), 2)
    assert pair.send(pair.route(path)) == "version 1 came, and 2 was expected"
    with pytest.raises(WeightsError, match="version 1 came, and 2 was expected"):
        coming.result()


@pytest.mark.parametrize("path", PATHS)
def test_a_receiver_knows_all_shapes_beforehand_and_may_refuse(
    pair: Pair, aside: ThreadPoolExecutor, path: str
) -> None:
    sent = aside.submit(pair.send, pair.route(path))
    receiving = Receiver(0, CPU).begin(pair.route(path), 1)
    assert receiving.shapes == {
        "odd": (3,),
        "matrix": (70, 90),
        "number": (),
        "transposed": (700, 50),
        "nothing": (0, 4),
        "flat": (9997,),
    }
    receiving.refuse("not mine")
    assert sent.result() == "not mine"


@pytest.mark.parametrize("path", PATHS)
def test_a_changed_byte_is_noticed_where_it_lands_and_what_follows_is_not_sent(
    pair: Pair, aside: ThreadPoolExecutor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum is that of the parameter, so damage in the buffer counts as well."""
    announce, announced = Sending.say, []

    def damaging(sending: Sending, key: str, content: Any) -> None:
        announced.append(key)
        if key == "part 0":
            sending._buffer[17] ^= 1
        announce(sending, key, content)

    monkeypatch.setattr(Sending, "say", damaging)
    coming = aside.submit(received, pair.route(path), Receiver(0, CPU))
    reason = "the checksum of matrix is not the published one"
    assert pair.send(pair.route(path)) == reason
    with pytest.raises(WeightsError, match=reason):
        coming.result()
    assert announced == ["plan", "part 0"]


def test_a_rank_that_refuses_leaves_no_other_waiting_for_the_next_part(
    pair: Pair, aside: ThreadPoolExecutor
) -> None:
    route = pair.route("ipc", receivers=2)
    started, sound = time.monotonic(), aside.submit(received, route, Receiver(0, CPU))
    sent = aside.submit(pair.send, route)
    other = Receiver(1, CPU).begin(route, 1)
    while not other._store.add("go", 0):
        time.sleep(0.001)
    other._store.add("go", 1)
    other.refuse("damaged")
    assert sent.result() == "damaged"
    with pytest.raises(WeightsError, match="another rank refused: damaged"):
        sound.result()
    assert time.monotonic() - started < route.seconds / 2


@pytest.mark.parametrize("path", PATHS)
def test_an_engine_that_was_replaced_between_two_transfers_is_linked_anew(
    pair: Pair, aside: ThreadPoolExecutor, path: str
) -> None:
    for number in range(2):
        route = pair.route(path, number=number, link=1 + number)
        coming = aside.submit(received, route, Receiver(0, CPU))
        assert pair.send(route) == ""
        assert torch.equal(coming.result()["matrix"], pair.parts[0]["matrix"])


def dying(route: Route, after: int) -> None:
    """A receiver that is killed when it has so many tensors."""
    for number, _ in enumerate(Receiver(0, CPU).begin(route, 1).tensors()):
        if number == after:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("path", PATHS)
def test_a_receiver_that_is_killed_in_the_middle_is_left_and_the_next_is_served(
    pair: Pair, aside: ThreadPoolExecutor, path: str
) -> None:
    route = pair.route(path)
    process = multiprocessing.get_context("spawn").Process(target=dying, args=(route, 1))
    process.start()
    sent = aside.submit(pair.send, route)
    process.join(60)
    assert not sent.done(), "it waits for the second part to be taken"
    pair.sender.gone(route.link)
    assert sent.result(10) == "the engine is gone"
    following = pair.route(path, number=1, link=2)
    coming = aside.submit(received, following, Receiver(0, CPU))
    assert pair.send(following) == ""
    assert torch.equal(coming.result()["matrix"], pair.parts[0]["matrix"])


def test_who_is_gone_beforehand_is_not_waited_for(pair: Pair) -> None:
    pair.sender.gone(1)
    assert pair.send(pair.route("nccl")) == "the engine is gone"


def test_no_word_stays_once_everything_was_taken(pair: Pair, aside: ThreadPoolExecutor) -> None:
    before = pair.store.num_keys()
    coming = aside.submit(received, pair.route("ipc"), Receiver(0, CPU))
    pair.send(pair.route("ipc"))
    coming.result()
    assert pair.store.num_keys() == before


def test_a_checksum_is_the_sum_of_rows_and_of_columns_by_place() -> None:
    numbers = torch.zeros(2 * 1024 + 2, dtype=torch.int64)
    numbers[0], numbers[1], numbers[1024], numbers[2049] = 5, 7, 11, 13
    rows = 1 * (5 + 7) + 3 * 11 + 5 * 13
    columns = 1 * (5 + 11) + 3 * (7 + 13)
    assert fingerprint(numbers).tolist() == [rows, columns]


@pytest.mark.parametrize("where", [0, 9, 17_000, -1])
@pytest.mark.parametrize("bit", [0, 7])
def test_any_flipped_bit_changes_both_numbers(where: int, bit: int) -> None:
    tensor = torch.randn(5001, generator=torch.Generator().manual_seed(0))
    before = fingerprint(tensor).tolist()
    tensor.view(torch.uint8)[where] ^= 1 << bit
    after = fingerprint(tensor).tolist()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_words_that_changed_places_change_the_checksum() -> None:
    tensor = torch.arange(5000)
    for one, other in ((0, 1), (3, 2000), (0, 1024), (4998, 4999)):
        swapped = tensor.clone()
        swapped[one], swapped[other] = tensor[other], tensor[one]
        assert fingerprint(swapped).tolist() != fingerprint(tensor).tolist()


def test_a_checksum_does_not_depend_on_where_a_tensor_lies(parts: list[Tensors]) -> None:
    tensors = [tensor for part in parts for tensor in part.values()]
    assert fingerprints(tensors) == fingerprints(tensor.clone() for tensor in tensors)


def test_tensors_of_a_part_lie_one_after_the_other_each_where_any_type_may() -> None:
    assert places([("a", "bfloat16", (3,)), ("b", "float32", (2, 5)), ("c", "float32", ())]) == [
        0,
        16,
        64,
        80,
    ]

"""Weights into engines: out of the object store, or straight from a learner that holds still.

    publish ---> Stored: parts that whoever comes takes, however late
            \\--> Held: an engine fetches them    waits until those before it have theirs, and
                                                  until the learner is not in a step
    a step       waits until every engine that is there has fetched (`Fleet.learn`)
    nobody waits for an engine that is only starting: it fetches when it is there

An engine and the learner's rank 0 are a pair. Where one of them is lost, the engine's process ends,
because it may hold a part of the new weights; other engines do not notice.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from cluster.workers.process import Process
from videothinker.config.settings import WeightsPath
from videothinker.errors import InputError, Lost
from videothinker.types import Route


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """In the object store."""

    version: int
    parts: Sequence[Any]

    async def into(self, process: Process, limit: float) -> int:
        what = f"loading weights version {self.version}"
        held: int = await process.call(what, limit, "load", self.version, *self.parts)
        return held

    def begin(self) -> None:
        """They were there before anybody was told."""


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Held:
    """In the learner's own memory."""

    version: int
    sending: DirectSending

    async def into(self, process: Process, limit: float) -> int | None:
        """What the engine holds then; None where something newer is required by now."""
        return await self.sending.send(self, process, limit)

    def begin(self) -> None:
        self.sending.open(self)


Weights = Stored | Held
"""One version, wherever it lies: `begin`, when they are to be had, and `into` an engine."""


class DirectSending:
    """From the learner's ranks to engines; everything here runs on the event loop's thread."""

    def __init__(self, path: WeightsPath, receivers: int = 1) -> None:
        """`receivers`: ranks of an engine, which take every part together."""
        self._path = path
        self._receivers = receivers
        self._ranks: Sequence[Process] = ()
        self._card = ""
        self._held: Held | None = None
        self._opened = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._links = WeakKeyDictionary[Process, int]()
        self._meeting_point = ("", 0)

    def joined(self, ranks: Sequence[Process], meeting_point: tuple[str, int]) -> None:
        """These are the learner from now on, which none is linked with yet."""
        self._ranks, self._meeting_point = ranks, meeting_point
        self._links.clear()

    def held(self, version: int, card: str) -> Held:
        """What the ranks hold, rank 0 on this card."""
        self._card = card
        return Held(version=version, sending=self)

    def open(self, held: Held) -> None:
        """They hold still, and this is what they hold."""
        self._held = held
        self._opened.set()

    def close(self) -> None:
        """They are about to change, or gone: nothing is sent until it is opened again."""
        self._held = None
        self._opened.clear()

    async def send(self, held: Held, process: Process, limit: float) -> int | None:
        """To one engine; None where the learner holds something newer by now."""
        card = await process.call("telling its card", limit, "card")
        async with self._one_at_a_time:
            while self._held is None:
                await self._opened.wait()
            if self._held is not held:
                return None
            return await self._transfer(held.version, process, self._route(process, card, limit))

    async def _transfer(self, version: int, process: Process, route: Route) -> int:
        """Both ends at once; where one fails the other is not left waiting."""
        rank, what = self._ranks[0], f"sending weights version {version} to {process.name}"
        loading = asyncio.create_task(
            process.call(
                f"receiving weights version {version}", route.seconds, "receive", version, route
            )
        )
        sending = [
            # what ends a transfer that hangs is the engine's limit
            asyncio.create_task(one.call(what, 2 * route.seconds, "send", version, route))
            for one in self._ranks
        ]
        try:
            await asyncio.wait([loading, *sending], return_when=asyncio.FIRST_EXCEPTION)
            if not loading.done():
                [error, *_] = filter(None, [one.exception() for one in sending if one.done()])
                if isinstance(error, Lost):
                    self.close()  # or whoever waits would be ended, one after the other
                process.give_up(f"the learner did not send all weights: {error}")
            received: int = await loading
            return received
        except BaseException:
            rank.tell("stop_sending", route.link)
            loading.cancel()
            raise
        finally:
            await asyncio.gather(loading, *sending, return_exceptions=True)

    def _route(self, process: Process, card: str, limit: float) -> Route:
        link = self._links.setdefault(process, next(self._numbers))
        host, port = self._meeting_point
        return Route(
            path=way(self._path, process.name, card, self._card),
            host=host,
            port=port,
            number=next(self._numbers),
            link=link,
            receiver=process.name,
            receivers=self._receivers,
            seconds=limit,
        )


def way(path: WeightsPath, engine: str, card: str, learners: str) -> Literal["ipc", "nccl"]:
    """From the learner's card to an engine's; InputError where what was asked for cannot be."""
    same, gpu = card == learners, card.startswith("GPU")
    if path == "ipc" and not same:
        raise InputError(
            f"weights.path = 'ipc': {engine} is on {card}, and the learner's rank 0 on {learners};"
            " memory is not shared between them. Use weights.path = auto"
        )
    if path == "nccl" and same and gpu:
        raise InputError(
            f"weights.path = 'nccl': {engine} and the learner's rank 0 share {card}, and NCCL takes"
            " one process a GPU. Use weights.path = auto"
        )
    if path == "auto":
        return "ipc" if same else "nccl"
    return "ipc" if path == "ipc" else "nccl"

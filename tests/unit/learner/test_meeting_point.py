"""Where the learner's ranks find each other."""

import socket

import pytest

from learner.deepspeed_engine import meet, meeting_point


def test_ranks_meet_at_one_address_and_nobody_else_can() -> None:
    store = meeting_point("127.0.0.1")
    meet("127.0.0.1", store.port).set("word", "given")
    assert store.get("word") == b"given"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", store.port), timeout=5)

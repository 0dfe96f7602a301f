"""What stands between a user and a cluster, each in one line with what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray
from ray.exceptions import AuthenticationError

from cluster.start.connecting import (
    is_here,
    reaching,
    refusal,
    require_job_server,
    require_listening,
    token_headers,
)
from videothinker.errors import InputError, VideoThinkerError

ROOT = Path(__file__).parents[4]
MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.58.0
    Python: 3.12.1
This process on node 10.0.0.4:6379 was started with:
    Ray: 2.60.0
    Python: 3.11.9
"""


@contextmanager
def server(status: int, body: str) -> Iterator[str]:
    """An HTTP server that answers everything the same; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@contextmanager
def something_else() -> Iterator[str]:
    """A port whose server speaks no HTTP; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            caller, _ = listening.accept()
            with caller:
                caller.recv(1000)
                caller.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def said(url: str, kind: type[VideoThinkerError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        require_job_server(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine has, there is none, and none is asked for."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_machine_without_a_token_is_told_where_to_put_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    message = said("http://127.0.0.1:8265")
    assert "this machine has no token for it" in message
    assert "~/.ray/auth_token" in message


def test_a_job_server_of_our_version_will_do() -> None:
    with server(200, json.dumps({"ray_version": ray.__version__})) as url:
        require_job_server(url)


def test_another_version_is_named_with_ours_and_what_to_install() -> None:
    with server(200, '{"ray_version": "2.40.0"}') as url:
        assert f"runs Ray 2.40.0, and here is {ray.__version__}" in said(url)
        assert "ray==2.40.0" in said(url)


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [(None, 401, "asks for a token"), ("wrong", 403, "refuses the token of this machine")],
)
def test_a_missing_and_a_wrong_token_come_with_where_to_put_it(
    token: str | None, status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with server(status, "no") as url:
        message = said(url)
    assert words in message
    assert "ray get-auth-token" in message
    assert "~/.ray/auth_token" in message


def test_the_token_goes_along_from_every_place_that_ray_looks_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    home, elsewhere = tmp_path / ".ray" / "auth_token", tmp_path / "token"
    home.parent.mkdir()
    home.write_text("at home\n")
    assert token_headers() == {"Authorization": "Bearer at home"}
    elsewhere.write_text("elsewhere")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(elsewhere))
    assert token_headers() == {"Authorization": "Bearer elsewhere"}
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert token_headers() == {"Authorization": "Bearer given"}


def test_our_token_is_the_one_that_ray_would_send(tmp_path: Path) -> None:
    """In a process of its own: Ray looks for a token once."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    code = (
        "from cluster.start.connecting import token_headers\n"
        "from ray._private.authentication import http_token_authentication as theirs\n"
        "found = theirs.get_auth_headers_if_auth_enabled({})\n"
        "assert {k.lower(): v for k, v in found.items()} == "
        "{k.lower(): v for k, v in token_headers().items()}"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | {"HOME": str(tmp_path)}, check=True
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda: server(404, "not found"),
        lambda: server(200, "<html>a router</html>"),
        lambda: server(200, '{"version": 3}'),
        lambda: server(200, "[]"),
        something_else,
    ],
)
def test_what_is_no_job_server_is_called_that(other: Callable[[], Iterator[str]]) -> None:
    with other() as url:  # type: ignore[attr-defined]
        assert "no job server" in said(url)


@pytest.mark.parametrize("url", ["127.0.0.1:8265", "auto", "ray://head:10001", "http://"])
def test_an_address_that_is_no_url_is_refused_before_anybody_is_asked(url: str) -> None:
    assert "not the URL of a job server" in said(url)


def test_nobody_there_is_a_failure_that_names_the_address() -> None:
    with nobody() as url:
        assert "no Ray cluster can be reached" in said(url, VideoThinkerError)


def test_a_cluster_that_does_not_listen_is_found_at_once() -> None:
    with nobody() as url:
        address = url.removeprefix("http://")
        host, _, port = address.partition(":")
        with pytest.raises(VideoThinkerError, match=f"reached at {address}.*ray start"):
            require_listening(address, host, int(port))


@pytest.mark.parametrize(("host", "alone"), [("127.0.0.1", True), ("", False)])
def test_a_head_on_the_loopback_alone_is_looked_for_there(host: str, alone: bool) -> None:
    usual = ray._private.ray_constants.ENABLE_RAY_CLUSTER
    with socket.create_server((host, 0)) as head:
        with reaching(f"127.0.0.1:{head.getsockname()[1]}"):
            there = ray._private.services.resolve_ip_for_localhost("127.0.0.1")
        assert (there == "127.0.0.1") is (alone or ray.util.get_node_ip_address() == "127.0.0.1")
    assert ray._private.ray_constants.ENABLE_RAY_CLUSTER is usual


def test_a_version_mismatch_names_both_in_one_line() -> None:
    found = refusal(RuntimeError(MISMATCH), "10.0.0.4:6379")
    assert isinstance(found, InputError)
    assert "Ray: 2.58.0 Python: 3.12.1" in str(found)
    assert "Ray: 2.60.0 Python: 3.11.9" in str(found)
    assert "Install the versions of the cluster" in str(found)
    assert "\n" not in str(found)


def test_a_refused_token_says_where_the_right_one_is() -> None:
    found = refusal(AuthenticationError("Token authentication is enabled"), "10.0.0.4:6379")
    assert isinstance(found, InputError)
    assert "refuses the token" in str(found)
    assert "`ray get-auth-token`" in str(found)


def test_a_token_that_is_not_there_is_not_called_refused() -> None:
    none = "Token authentication is enabled but no authentication token was found"
    found = refusal(AuthenticationError(none), "10.0.0.4:6379")
    assert "there is no token on this machine" in str(found)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8265", True),
        ("http://localhost:8265", True),
        ("http://[::1]:8265", True),
        ("http://10.0.0.4:8265", False),
        ("https://ray.example.org", False),
    ],
)
def test_the_loopback_is_this_machine(url: str, here: bool) -> None:
    assert is_here(url) is here

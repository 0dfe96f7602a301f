"""Reaching a Ray cluster, or the job server of one; what can go wrong there, in one line each."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import ray
from ray._private import ray_constants
from ray._private.services import get_ray_address_from_environment
from ray.exceptions import AuthenticationError, RayError

from cluster.start.own_ray import replaced
from videothinker.errors import InputError, VideoThinkerError

REACH_SECONDS = 10.0
"""A machine that has not taken a connection by then is not there."""
ATTEMPTS = 3
"""To be accepted by a cluster that listens."""
START = (
    "start one there (`ray start --head`, docs/jobs.md), or look whether a firewall is in the way"
)
SERVER = "Give the URL that `ray start --head` prints for its dashboard, such as http://HOST:8265"
TOKEN = (
    "Put what `ray get-auth-token` prints on the head into ~/.ray/auth_token here, or into"
    " RAY_AUTH_TOKEN; for a cluster that asks for none, `export RAY_AUTH_MODE=disabled`"
)
REFUSED = ("unauthenticated", "authentication token", "auth token")
"""What Ray's errors about tokens have in common."""


def connect(address: str, **options: Any) -> None:
    """Make this process a driver of the cluster there."""
    try:
        with reaching(address):
            ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        ray.shutdown()
        raise refusal(error, address) from error


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Where an address is what it says; an error at once where nobody listens.

    Ray itself would try for two minutes, and twenty times with a token that is refused. It also
    puts this machine's address in the place of the loopback's, where a head that is on the loopback
    alone does not listen, except on a Mac.
    """
    changed: list[tuple[Any, str, Any]] = []
    found = get_ray_address_from_environment(address, None) if address == "auto" else address
    host, _, port = (found or "").rpartition(":")
    if port.isdecimal():
        require_listening(address, host, int(port))
        changed.append((ray_constants, "NUM_REDIS_GET_RETRIES", ATTEMPTS))
        if is_loopback(host) and not listens(ray.util.get_node_ip_address(), int(port)):
            changed.append((ray_constants, "ENABLE_RAY_CLUSTER", False))
    with replaced(*changed):
        yield


def require_listening(address: str, host: str, port: int) -> None:
    """VideoThinkerError where nobody takes a connection."""
    try:
        socket.create_connection((host.strip("[]"), port), REACH_SECONDS).close()
    except OSError as error:
        raise unreachable(address, str(error)) from error


def listens(host: str, port: int) -> bool:
    """Whether somebody takes a connection."""
    try:
        require_listening(host, host, port)
    except VideoThinkerError:
        return False
    return True


def refusal(error: Exception, address: str) -> VideoThinkerError:
    """What Ray said, and what to do."""
    said = " ".join(f"{error} {error.__cause__ or ''}".split())
    if "Version mismatch" in said:
        return InputError(
            f"cluster {address}: {said[said.index('Version mismatch') :]} Install the versions of"
            " the cluster here, or start it with these"
        )
    if "no authentication token was found" in said:
        return InputError(f"cluster {address}: there is no token on this machine. {TOKEN}")
    if isinstance(error, AuthenticationError) or any(word in said.lower() for word in REFUSED):
        return InputError(f"cluster {address}: refuses the token of this machine. {TOKEN}")
    return unreachable(address, said)


def unreachable(address: str, reason: str) -> VideoThinkerError:
    """The error where nobody listens, with what to do."""
    return VideoThinkerError(f"no Ray cluster can be reached at {address} ({reason}); {START}")


def require_job_server(url: str) -> None:
    """Ask a job server for its version; an error where it is none, or not one for us."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--address {url}: not the URL of a job server. {SERVER}")
    headers = token_headers()
    if headers is None:
        raise InputError(f"--address {url}: this machine has no token for it. {TOKEN}")
    request = Request(f"{url.rstrip('/')}/api/version", headers=headers)
    try:
        with urlopen(request, timeout=REACH_SECONDS) as answer:  # its scheme was looked at
            version = json.load(answer)["ray_version"]
    except HTTPError as error:
        if error.code in (401, 403):
            which = "refuses the token of this machine" if headers else "asks for a token"
            raise InputError(f"--address {url}: {which}. {TOKEN}") from error
        raise _no_server(url, f"answers {error.code}") from error
    except (ValueError, KeyError, TypeError, HTTPException) as error:
        raise _no_server(url, "answers something else") from error
    except OSError as error:
        reason = str(getattr(error, "reason", error))
        raise unreachable(url, reason) from error
    if version != ray.__version__:
        raise InputError(
            f"--address {url}: runs Ray {version}, and here is {ray.__version__}. Install"
            f" ray=={version} here, or start the cluster with ours"
        )


def token_headers() -> dict[str, str] | None:
    """What proves to a server that we may speak to it; None where there should be a token and is
    none. A token lies where Ray's documentation says.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return {}
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    token = os.environ.get("RAY_AUTH_TOKEN")
    if not token and file.is_file():
        token = file.read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else None


def is_here(url: str) -> bool:
    """Whether a URL names this machine's loopback."""
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine to itself."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _no_server(url: str, found: str) -> InputError:
    return InputError(f"--address {url}: {found}, so it is no job server of Ray's. {SERVER}")

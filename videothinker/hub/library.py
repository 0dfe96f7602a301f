"""What all asking of the Hub shares: its cache, and what it answers as one line with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from videothinker.errors import InputError, VideoThinkerError

RepositoryKind = Literal["model", "data set"]
LOGIN = "`hf auth login`, or HF_TOKEN"
SECONDS = 10.0
"""For an answer without content."""


def cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


@contextmanager
def told(name: str, kind: RepositoryKind = "model") -> Iterator[None]:
    """What the library raises, as one line with what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise InputError(f"{name}: no name for a {kind} on the Hub ({error})") from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(_unreachable(name, error.__cause__ or error)) from error
    except errors.HfHubHTTPError as error:
        raise InputError(_refused(name, kind, error)) from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise InputError(_unreachable(name, error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VideoThinkerError(
                f"{name}: no space left in {cache()}. Free some, or name another folder: HF_HOME"
            ) from error
        if error.errno is not None:
            raise
        raise InputError(f"{name}: {error}. Try again") from error
    except (ValueError, errors.XetDownloadError) as error:
        raise InputError(
            f"{name}: no answer of a Hub's ({error}). See what HF_ENDPOINT and proxies lead to"
        ) from error


def _refused(name: str, kind: RepositoryKind, error: Any) -> str:
    """By what the Hub answered."""
    from huggingface_hub import errors, get_token

    repository, token, status = name.partition("@")[0], get_token(), error.response.status_code
    login = "the token given is not enough" if token else f"no token was given: {LOGIN}"
    if isinstance(error, errors.GatedRepoError):
        return f"{name}: its owners ask you to agree to their terms first, on its page; {login}"
    if isinstance(error, errors.RepositoryNotFoundError) or (status == 401 and token is None):
        return (
            f"{name}: no such folder, and no such {kind} on the Hub; or it is private and {login}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name}: {repository} has no such revision; give a branch, a tag or a commit of it"
    if status in (401, 403):
        return f"{name}: the Hub refuses it ({status}); the token is wrong, or of too few rights"
    said = " ".join((error.server_message or error.response.reason_phrase).split())
    return f"{name}: the Hub answers {status} ({said}). Try again later"


def answered(error: BaseException) -> bool:
    """Whether the Hub itself said no; a Hub that is down says nothing."""
    response = getattr(error, "response", None)
    return response is not None and response.status_code < 500


def _unreachable(name: str, error: BaseException) -> str:
    from huggingface_hub import constants

    where = f"and it is not, or not wholly, in {cache()}"
    if constants.is_offline_mode():
        return f"{name}: HF_HUB_OFFLINE is set, {where}. Unset it, or name a folder"
    reason = type(error).__name__
    return f"{name}: no connection to the Hub ({reason}), {where}. Try again, or name a folder"

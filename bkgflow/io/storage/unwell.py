"""What object stores answer when something is wrong: what it means, and what a retry may cure."""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from bkgflow.errors import StorageError
from bkgflow.io.storage.web import NoRangesError

__all__ = ["ChangedError", "Patience", "Wrong", "persistently", "wrong_with"]

T = TypeVar("T")

CHANGED = {"PreconditionFailed", "412"}
NO_BUCKET = {"NoSuchBucket"}
NOT_THERE = {"NoSuchKey", "404", "410", "NotFound", "NoSuchUpload"}
WRONG_SECRET = {
    "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "TokenRefreshRequired", "UserSuspended",
}  # fmt: skip
REFUSED = {"AccessDenied", "AllAccessDisabled", "403", "401", "Unauthorized", "Forbidden"}
PASSING = {
    "408", "409", "429", "500", "502", "503", "504", "BadGateway", "ConditionalRequestConflict",
    "GatewayTimeout", "InternalError", "OperationAborted", "RequestLimitExceeded",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException",
    "TooManyRequests", "TooManyRequestsException",
}  # fmt: skip
"""Codes of the S3 protocol, and numbers of HTTP where an answer has no body."""

PASSING_NAMES = {
    "ClientConnectionError", "ClientOSError", "ClientPayloadError", "ConnectTimeoutError",
    "ConnectionClosedError", "ConnectionTimeoutError", "EndpointConnectionError", "FSTimeoutError",
    "HTTPClientError", "IncompleteRead", "IncompleteReadError", "ReadTimeoutError",
    "ResponseParserError", "ResponseStreamingError", "ServerDisconnectedError",
    "ServerTimeoutError", "SocketTimeoutError",
}  # fmt: skip
NO_SECRET_NAMES = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}
"""Classes of the packages behind URLs, by their names: none of them is imported for this."""


class Wrong(Enum):
    """What a store's answer means."""

    CHANGED = "the object is another version than the one that was asked for"
    NOT_THERE = "no such object"
    NO_BUCKET = "no such bucket"
    NO_SECRET = "the store does not accept the credentials"
    REFUSED = "the store refuses access"
    NO_RANGES = "the store gives no part of an object"
    PASSING = "the store did not do it in time, or not now"
    OTHER = "the store answers with an error"


class ChangedError(OSError):
    """An object that is another version than the one that was asked for."""


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _answered(problem: BaseException) -> bool:
    """Whether it is an answer of the store, and not that there was none."""
    return any(
        isinstance(getattr(each, "response", None), dict) or _status(each)
        for each in _chain(problem)
    )


def _status(problem: BaseException) -> str:
    """Return the number of HTTP that an error has, by the names of several packages."""
    found = (getattr(problem, name, None) for name in ("status", "status_code", "code"))
    return next((str(each) for each in found if isinstance(each, int) and each >= 400), "")


def _vague(problem: BaseException) -> bool:
    """Whether an error says "not there" of whatever went wrong: fsspec has it so of web servers."""
    told = isinstance(problem, FileNotFoundError) and problem.errno is None
    return told and problem.__cause__ is not None


def wrong_with(problem: BaseException) -> tuple[Wrong, str]:
    """Return what an error means, and what the store itself says, for people."""
    for each in _chain(problem):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict) and "Error" in response:
            code = str(response["Error"].get("Code", ""))
            status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            message = str(response["Error"].get("Message") or "")
            said = code if message in ("", "None", code) else f"{code}: {message}"
            return _of_codes(code, status), said[:200]
    for each in sorted(_chain(problem), key=_vague):
        if status := _status(each):
            said = str(getattr(each, "message", "") or each)
            return _of_codes(status, status), f"{status}: {said}"[:200]
        if (meaning := _of_class(each)) is not None:
            strerror = getattr(each, "strerror", None)
            said = strerror or f"{type(each).__name__}: {each}".rstrip(": ")
            return meaning, said[:200]
    return Wrong.OTHER, f"{type(problem).__name__}: {problem}"[:200]


def _of_class(problem: BaseException) -> Wrong | None:
    """Return what an error means that has no code of a store; None where that is not known."""
    names = {kind.__name__ for kind in type(problem).__mro__}
    passes = TimeoutError | asyncio.TimeoutError | ConnectionError
    meanings = (
        (bool(names & NO_SECRET_NAMES), Wrong.NO_SECRET),
        (bool(names & PASSING_NAMES) or isinstance(problem, passes), Wrong.PASSING),
        (isinstance(problem, ChangedError), Wrong.CHANGED),
        (isinstance(problem, NoRangesError), Wrong.NO_RANGES),
        (isinstance(problem, FileNotFoundError), Wrong.NOT_THERE),
        (isinstance(problem, PermissionError), Wrong.REFUSED),
    )
    return next((meaning for holds, meaning in meanings if holds), None)


def _of_codes(code: str, status: str) -> Wrong:
    for meaning, codes in (
        (Wrong.CHANGED, CHANGED), (Wrong.NO_BUCKET, NO_BUCKET), (Wrong.NOT_THERE, NOT_THERE),
        (Wrong.NO_SECRET, WRONG_SECRET), (Wrong.REFUSED, REFUSED), (Wrong.PASSING, PASSING),
    ):  # fmt: skip
        if code in codes:
            return meaning
    if status in CHANGED:
        return Wrong.CHANGED
    return Wrong.PASSING if status in PASSING else Wrong.OTHER


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is made, and how long is waited in between.

    Attributes
    ----------
    pause : float
        Seconds before the second attempt, on average; each further one waits twice as long, with
        chance in it, so that many workers do not come back at once.
    longest : float
        Seconds that a single pause may be.
    enough : float
        Seconds after which nothing is tried a third time: a store that swallows every request
        would be waited for for minutes.
    """

    attempts: int = 7
    pause: float = 0.25
    longest: float = 10.0
    enough: float = 30.0
    sleep: Callable[[float], object] = time.sleep

    def before(self, attempt: int) -> float:
        """Return the seconds to wait before an attempt, of which the first is 0."""
        pause = self.pause * 2.0 ** (attempt - 1)
        return min(self.longest, pause) * random.uniform(0.5, 1.5)


_away: dict[str, float] = {}
"""Until when a bucket counts as out of reach, of which no request was answered: by then each other
request for it is made once, so that a plan of many objects does not wait for every one of them."""

PATIENCE = Patience()
"""Of every request, unless something else is said: some 15 s in all, beside what the store itself
takes to answer."""


def persistently(ask: Callable[[], T], url: str, patience: Patience | None = None) -> T:
    """Make a request, and again where the store is throttled, stalls or cuts the connection.

    Raises
    ------
    StorageError
        If the bucket is not there, or the store does not accept the credentials: no other request
        will fare better.
    ChangedError
        If the object is another version than the one that was asked for.
    FileNotFoundError, PermissionError, OSError
        What else the store says; with the number ETIMEDOUT where it may pass.
    """
    patience, began = patience or PATIENCE, time.monotonic()
    bucket = "/".join(url.split("/", 3)[:3])
    attempts = 1 if began < _away.get(bucket, began) else patience.attempts
    for attempt in range(attempts):
        if attempt:
            patience.sleep(patience.before(attempt))
        try:
            answer = ask()
            _away.pop(bucket, None)
            return answer
        except Exception as problem:
            wrong, said = wrong_with(problem)
            now = time.monotonic()
            last = attempt + 1 == attempts or (attempt > 0 and now - began > patience.enough)
            if wrong == Wrong.PASSING and last and attempt and not _answered(problem):
                _away[bucket] = now + patience.enough
            if wrong != Wrong.PASSING or last:
                raise _as_error(wrong, said, url, attempt + 1) from problem
    raise AssertionError("unreachable: the last attempt returns or raises")


def _as_error(wrong: Wrong, said: str, url: str, attempts: int) -> OSError | StorageError:
    if wrong == Wrong.NO_BUCKET:
        return StorageError(
            "The bucket of an input or an output must be there",
            file=url,
            value=said,
            cure="Correct its name, make it, or give the right endpoint (AWS_ENDPOINT_URL)",
        )
    if wrong == Wrong.NO_SECRET:
        return StorageError(
            "An object store must accept the credentials that it is given",
            file=url,
            value=said,
            cure="Correct the access key and the secret in the environment or in "
            "~/.aws/credentials, of the workers too; a public bucket is read without any "
            "(FSSPEC_S3_ANON=true)",
        )
    plain: dict[Wrong, OSError] = {
        Wrong.CHANGED: ChangedError(errno.EEXIST, said, url),
        Wrong.NOT_THERE: FileNotFoundError(errno.ENOENT, said, url),
        Wrong.NO_RANGES: NoRangesError(errno.ENOTSUP, said, url),
        Wrong.REFUSED: PermissionError(errno.EACCES, f"the store refuses access ({said})", url),
        Wrong.PASSING: TimeoutError(
            errno.ETIMEDOUT, f"the store did not do it in {attempts} attempts ({said})", url
        ),
    }
    return plain.get(wrong) or OSError(errno.EREMOTEIO, f"the store answers: {said}", url)

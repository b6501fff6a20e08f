"""Who brings a message to people: a request to a server, or a command of this machine.

Addresses often carry a secret, in their path as well: of a URL nothing is said but its server.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from bkgflow.errors import UsageError
from bkgflow.io.storage.commands import is_command
from bkgflow.version import VERSION

__all__ = ["Command", "Messenger", "NotSentError", "Post", "messenger_of"]

TAIL = 400
"""Bytes of what a command says last on standard error, for the log."""

CHUNK = 1 << 16


class NotSentError(Exception):
    """A message did not get through; the text says why, without any secret."""


class Messenger(Protocol):
    """Brings messages to people."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def send(self, message: bytes, summary: str, seconds: float) -> None:
        """Send JSON, and a line that sums it up, within so many seconds.

        Raises
        ------
        NotSentError
            If it did not get through.
        """

    def stop(self) -> None:
        """Give up what is under way; nothing is sent afterwards."""


def messenger_of(target: object) -> Messenger:
    """Return who sends to a target: a URL of http or https, or a command with its arguments.

    A command is a sequence of words, or a text that is cut into words as a shell would do; no
    shell runs it.

    Raises
    ------
    UsageError
        If it is neither, or there is no such command.
    """
    if isinstance(target, str):
        if re.match(r"\s*[a-z][a-z0-9+.-]*://", target, re.IGNORECASE):
            return Post(target.strip())
        return Command(_words(target))
    if isinstance(target, Sequence) and all(isinstance(each, str) for each in target):
        return Command(list(target))
    raise _refused(repr(target)[:200])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as problem:
        raise _refused(f"{text} ({problem})") from None


def _refused(value: str) -> UsageError:
    return UsageError(
        "Notifications must go to a URL of http or https, or to a command of this machine",
        value=value or "nothing",
        cure="Give --notify https://…, or a command such as --notify 'mail -s bkgflow me'",
    )


class Post:
    """Sends messages as JSON by POST. A redirection is not followed: it would lose them."""

    def __init__(self, url: str) -> None:
        self.name = "a URL without a server"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # such as a port that is no number
            raise _refused(self.name) from None
        if not host or parts.scheme.lower() not in {"http", "https"}:
            raise _refused(f"{parts.scheme}://{host or '…'}")
        place = f"[{host}]" if ":" in host else host
        place += "" if port is None else f":{port}"
        self.name = f"{parts.scheme}://{place}"
        self._url = urlunsplit(parts._replace(netloc=place, fragment=""))
        if re.search(r"[^\x21-\x7e]", self._url):
            raise _refused(f"{self.name}, and then characters that must be written as %XX")
        agent = f"bkgflow/{VERSION}"
        self._headers = {"Content-Type": "application/json", "User-Agent": agent}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._stopped = False

    def send(self, message: bytes, summary: str, seconds: float) -> None:
        """Send it; see `Messenger`. The server's answer is not read, but for its status."""
        request = urllib.request.Request(self._url, message, self._headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirection)

        def post() -> None:
            with opener.open(request, timeout=seconds):
                pass

        if not self._stopped:
            # The time-out of a socket begins anew with every byte that comes.
            _within(seconds, post)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Do something in a thread of its own, and wait for it so long."""
    problems: list[str] = []

    def act() -> None:
        try:
            action()
        except HTTPError as problem:
            problems.append(f"the server answers {problem.code}")
        except URLError as problem:
            reason = problem.reason
            said = getattr(reason, "strerror", None) or type(reason).__name__
            problems.append(str(said) if isinstance(reason, OSError) else "no connection")
        except TimeoutError:
            problems.append(f"no answer within {seconds:.0f} s")
        except (OSError, HTTPException, ValueError) as problem:
            problems.append(type(problem).__name__)  # its text may hold the address

    thread = threading.Thread(target=act, name="bkgflow-post", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise NotSentError(f"no answer within {seconds:.0f} s")
    if problems:
        raise NotSentError(problems[0])


class Command:
    """Runs a command: JSON on its standard input, the summary as its last argument.

    What it prints is read and not kept, but for the end of standard error, where it fails. It is in
    a session of its own: Ctrl-C does not reach it, and what it has started ends with it.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if not words or not is_command(words[0]):
            raise _refused(f"{shlex.join(words)} (no such command)" if words else "")
        self._words = list(words)
        self.name = words[0]  # arguments may be secrets
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def send(self, message: bytes, summary: str, seconds: float) -> None:
        """Run it; see `Messenger`. A command that fails has not sent anything."""
        if self._stopped:
            return
        try:
            process = subprocess.Popen(
                [*self._words, summary],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as problem:
            raise NotSentError(getattr(problem, "strerror", None) or str(problem)) from None
        self._process = process
        last: list[bytes] = [b""]
        for work in (lambda: _feed(process, message), lambda: _read(process, last)):
            threading.Thread(target=work, name="bkgflow-command", daemon=True).start()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill()
            raise NotSentError(f"it did not end within {seconds:.0f} s") from None
        finally:
            self._process = None
        if code:
            words = last[0].decode(errors="replace").split()
            said = f": {' '.join(words)}" if words else ""
            raise NotSentError(f"exit code {code}{said}")

    def stop(self) -> None:
        """Kill what runs."""
        self._stopped = True
        self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)


def _feed(process: subprocess.Popen[bytes], message: bytes) -> None:
    """Give a command its input; it need not read it."""
    assert process.stdin is not None
    with suppress(OSError, ValueError):
        process.stdin.write(message)
    with suppress(OSError, ValueError):
        process.stdin.close()


def _read(process: subprocess.Popen[bytes], last: list[bytes]) -> None:
    """Keep the end of what a command says, however much it is."""
    assert process.stderr is not None
    with process.stderr as stream, suppress(OSError, ValueError):
        while chunk := stream.read1(CHUNK):  # type: ignore[attr-defined]
            last[0] = (last[0] + chunk)[-TAIL:]

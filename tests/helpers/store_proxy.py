"""A proxy before an object store: it counts, waits, throttles, stalls, and cuts connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

THROTTLED = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code>"
    b"<Message>Please reduce your request rate.</Message></Error>"
)
TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {"throttle": THROTTLED, "429": TOO_MANY, "forbid": FORBIDDEN}


@dataclass(frozen=True)
class Request:
    """One request, and how many bytes its answer had."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


Fault = Callable[[Request, int], str]
"""What becomes of a request, the n-th of all: "" or "stall", "refuse", "cut", "lose", or one of
`ANSWERS`."""


@dataclass
class Proxy:
    """Stands before a server of HTTP; see `proxy_before`.

    Attributes
    ----------
    latency : float
        Seconds before each request is passed on.
    fault : callable
        Decides what becomes of a request.
    requests : list of Request
        Those that were answered.
    """

    port_behind: int
    latency: float = 0.0
    fault: Fault = lambda request, number: ""
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    seen: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent(self, method: str = "GET", part: str = "") -> int:
        """Bytes of the bodies that were sent in answer to such requests."""
        return sum(r.sent for r in self.requests if r.method == method and part in r.path)

    def count(self, part: str = "", method: str = "") -> int:
        """Requests whose path has a part, of a method."""
        return sum(part in r.path and method in r.method for r in self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self.port_behind)
            while (head := await _head(reader)) is not None:
                await self._one(head, reader, writer, answers, behind)
        except (OSError, asyncio.IncompleteReadError, _CutError):
            pass
        except asyncio.CancelledError:  # the loop ends; asyncio would print a traceback
            pass
        finally:
            for each in (writer, behind):
                if each is not None:
                    with suppress(OSError, RuntimeError):
                        each.close()

    async def _one(self, head, reader, writer, answers, behind):
        line, headers, raw = head
        method, path, _ = line.split(" ", 2)
        request = Request(method, path, headers)
        self.seen += 1
        fault = self.fault(request, self.seen)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            raw = b"\r\n".join(
                each for each in raw.split(b"\r\n") if not each.lower().startswith(b"expect:")
            )
        body = await _body(reader, headers)
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault == "stall":
            await asyncio.sleep(3600)
        if fault == "refuse":
            raise _CutError
        if answer := ANSWERS.get(fault):
            text = answer.partition(b"\r\n\r\n")[2]
            writer.write(answer.replace(b"%d", str(len(text)).encode()))
            await writer.drain()
            return
        behind.write(raw + body)
        await behind.drain()
        answer = await _head(answers)
        while answer is not None and " 100 " in answer[0]:
            answer = await _head(answers)
        if answer is None:
            raise _CutError
        status, said, raw = answer
        number = int(status.split(" ")[1])
        empty = method == "HEAD" or number in (204, 304)
        data = b"" if empty else await _body(answers, said)
        if fault == "lose":  # done, and the answer is lost
            raise _CutError
        if fault == "cut":
            writer.write(raw + data[: len(data) // 2])
            await writer.drain()
            raise _CutError
        self.requests.append(Request(method, path, headers, number, len(data)))
        writer.write(raw + data)
        await writer.drain()


class _CutError(Exception):
    """The connection is to be closed here."""


async def _head(reader):
    """Read a line and headers; None where the connection ends before."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *others = raw.decode("latin-1").split("\r\n")
    pairs = (each.partition(":") for each in others if each)
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}, raw


async def _body(reader, headers):
    """Read a body as it was sent."""
    if "chunked" in headers.get("transfer-encoding", ""):
        raw = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            raw += line + await reader.readexactly(size + 2)
            if not size:
                return raw
    return await reader.readexactly(int(headers.get("content-length") or 0))


async def _end_all():
    others = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def proxy_before(port: int):
    """Start a proxy before a server of this machine, in a thread of its own."""
    proxy, loop, ready = Proxy(port), asyncio.new_event_loop(), threading.Event()

    async def begin():
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

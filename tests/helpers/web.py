"""Web servers for tests: files of a folder over HTTP, with lists of folders, ETags and ranges."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import ClassVar


@dataclass
class Web:
    """A server that runs: where it is, and (method, path, Range) of every request."""

    url: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)


class _Plain(SimpleHTTPRequestHandler):
    """What `python -m http.server` is: it ignores ranges and takes nothing."""

    protocol_version = "HTTP/1.1"
    web: ClassVar[Web]
    sizes: ClassVar[bool] = True
    lists: ClassVar[bool] = True

    def list_directory(self, path: str) -> BytesIO | None:
        if self.lists:
            return super().list_directory(path)
        self.send_error(404)
        return None

    def send_header(self, keyword: str, value: str) -> None:
        if self.sizes or keyword != "Content-Length":
            super().send_header(keyword, value)
        else:
            super().send_header("Connection", "close")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            self.web.requests.append((self.command, self.path, self.headers.get("Range", "")))
        return parsed


class _Whole(_Plain):
    """What nginx and Apache are: ETags, ranges, lists of folders."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        etag, size = md5(data).hexdigest(), len(data)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.send_response(206 if wanted else 200)
        if wanted:
            start, last = int(wanted[1]), min(int(wanted[2]), size - 1)
            data = data[start : last + 1]
            self.send_header("Content-Range", f"bytes {start}-{last}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        if Path(self.translate_path(self.path)).is_file():
            self.do_GET()
        else:
            super().do_HEAD()


@contextmanager
def web_of(folder: Path, *, ranges: bool = True, sizes: bool = True, lists: bool = True):
    """Serve a folder; without ranges as Python's own server does."""
    kind = type("Handler", (_Whole if ranges else _Plain,), {"sizes": sizes, "lists": lists})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *w: kind(*w, directory=str(folder)))
    kind.web = Web(f"http://127.0.0.1:{server.server_port}")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kind.web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A real HTTP server on loopback that serves one file, well or badly, for the tests of downloads."""

from __future__ import annotations

import gzip
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """Serves `content` at every path but those that redirect. What is set here changes how.

    `requests` are those that came.
    """

    content: bytes
    etag: str | None = '"1"'
    last_modified: str | None = None
    content_type: str = "application/octet-stream"
    ranges: bool = True
    """Off: requests for ranges are answered with the whole file."""
    shift: int = 0
    """Ranges start so many bytes after the one that was asked for."""
    sends_length: bool = True
    length: int | str | None = None
    """What is said to be the length, if that is not it."""
    redirect: str = ""
    """Where the path /to leads, and how many bytes of a body are said to come with that."""
    redirect_length: int = 0
    compresses: bool = False
    drops: int = 0
    """So many answers break off after `bytes_before_drop` bytes of the body."""
    bytes_before_drop: int = 0
    stalls: bool = False
    """The answers that break off don't end, but go silent."""
    chunk_length: int | None = None
    """Send the body in pieces of this length."""
    statuses: list[int] = field(default_factory=list)
    """Answers without content that come first."""
    reason: str | None = None
    """What those answers say beside their status."""
    headers: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[bytes, str]] = field(default_factory=list)
    """Contents and their ETags that take the place of the first after each answer that broke off."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.closing = threading.Event()

        class Handler(_Handler):
            file_server = self

        self.server = _QuietServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def asked(self, header: str) -> list[str | None]:
        """What each request said in this header."""
        return [headers.get(header) for _, headers in self.requests]


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that went away is what many a test is about."""


class _Handler(BaseHTTPRequestHandler):
    file_server: FileServer

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""

    def do_GET(self) -> None:
        server = self.file_server
        server.requests.append((self.path, dict(self.headers)))
        if self.path == "/redirected":
            return self.answer_without_content(302, {"Location": f"{server.url}/file.bin"})
        if self.path == "/to":
            redirect = {"Location": server.redirect, "Content-Length": str(server.redirect_length)}
            return self.answer_without_content(302, redirect)
        if self.path == "/around":
            return self.answer_without_content(302, {"Location": f"{server.url}/around"})
        if self.path == "/away":
            return self.answer_without_content(302, {"Location": "ftp://host/file.bin"})
        if server.statuses:
            return self.answer_without_content(server.statuses.pop(0), server.headers, server.reason)
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        start = int(match[1]) if match and server.ranges else 0
        if condition is not None and condition not in (server.etag, server.last_modified):
            start = 0
        total = len(server.content)
        if start and start >= total:
            return self.answer_without_content(416, {"Content-Range": f"bytes */{total}"})
        start += server.shift if start else 0
        self.send_file(start)
        return None

    def answer_without_content(self, status: int, headers: dict[str, str], reason: str | None = None) -> None:
        self.send_response(status, reason)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_file(self, start: int) -> None:
        server = self.file_server
        total = len(server.content)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.compresses:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        if server.sends_length:
            self.send_header("Content-Length", str(server.length or len(body)))
        for name, value in (("ETag", server.etag), ("Last-Modified", server.last_modified)):
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Type", server.content_type)
        self.end_headers()
        drop = server.drops > 0
        if drop:
            server.drops -= 1
            body = body[: server.bytes_before_drop]
            if server.changes:
                server.content, server.etag = server.changes.pop(0)
        length = server.chunk_length or len(body) or 1
        for position in range(0, len(body), length):
            self.wfile.write(body[position : position + length])
        if drop and server.stalls:
            server.closing.wait(10)

"""A file server on this machine that speaks what hubs speak: HEAD with declared hashes, redirects, ranges."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from densevl.weights import WeightsEntry, download

REPOSITORY, REVISION, FILE = "someone/some-clip", "a" * 40, "open_clip_model.safetensors"


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked."""

    content: bytes
    others: dict[str, bytes] = field(default_factory=dict)  # further files, by the path of their address
    endpoint: str = ""
    script: list[int] = field(default_factory=list)  # next answers: an error, or how many bytes before breaking off
    ranges: bool = True
    declared: str | None = None
    delay: float = 0.0
    stall_at: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def entry(self, **changes: object) -> WeightsEntry:
        """The server's file as the weights table would list it."""
        fields: dict[str, object] = {
            "file": FILE, "kind": "clip", "licence": "MIT", "parameters": 1000, "repository": REPOSITORY,
            "revision": REVISION, "size": len(self.content), "sha256": self.sha256,
        }  # fmt: skip
        return WeightsEntry("some-clip", **{**fields, **changes})  # type: ignore[arg-type]

    def has(self, path: str) -> bytes | None:
        """The content of a path."""
        return self.content if path == f"/{REPOSITORY}/resolve/{REVISION}/{FILE}" else self.others.get(path)

    @property
    def downloads(self) -> list[str | None]:
        """The Range of each request for content."""
        return [wanted for method, wanted in self.requests if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._redirect()

    def do_GET(self) -> None:
        if self.path.startswith("/cdn/"):
            self._content()
        else:
            self._redirect()

    def _redirect(self) -> None:
        """To another host, as hubs do: what is declared stands on this answer alone."""
        hub = self.hub
        if self.command == "HEAD":
            hub.requests.append(("HEAD", None))
        content = hub.has(self.path)
        if content is None:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
            return
        port = self.server.server_address[1]
        declared = hashlib.sha256(content).hexdigest() if hub.declared is None else hub.declared
        self._answer(302, {
            "Location": f"http://localhost:{port}/cdn{self.path}", "X-Repo-Commit": REVISION,
            "X-Linked-Etag": f'"{declared}"', "X-Linked-Size": str(len(content)),
        })  # fmt: skip

    def _content(self) -> None:
        hub = self.hub
        wanted = self.headers.get("Range")
        hub.requests.append(("GET", wanted))
        time.sleep(hub.delay)
        if hub.script and 400 <= hub.script[0] < 600:
            self._answer(hub.script.pop(0), {})
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and hub.ranges else 0  # type: ignore[index]
        content = hub.has(self.path.removeprefix("/cdn")) or b""
        total = len(content)
        if start >= total:
            self._answer(416, {"Content-Range": f"bytes */{total}"})
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.send_header("Content-Type", "text/html" if total < 100 else "application/octet-stream")
        self.end_headers()
        end = start + hub.script.pop(0) if hub.script else total
        if hub.stall_at is not None:
            self.wfile.write(content[start : hub.stall_at])
            self.wfile.flush()
            hub.stall_at = None
            time.sleep(20)
        self.wfile.write(content[start:end])
        self.close_connection = True

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """The server, listening on this machine until the block ends."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def ask_only(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let this process ask the server alone, with caches of its own and hardly a pause between attempts."""
    for name in ("DENSEVL_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(download, "PAUSE", 0.01)

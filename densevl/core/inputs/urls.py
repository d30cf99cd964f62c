"""URLs, and images on the web, fetched when they are read and kept nowhere.

An image is told by its URL and by what the server says of its state: its ``ETag``, or the time of its last change and
its length. Where the server says neither, the image is fetched and its content tells.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES, UrlImage

__all__ = ["WebImage", "is_url", "is_web", "told_numbers", "url_names"]

TIMEOUT = 10.0
"""Seconds to wait for a connection, and for each next piece."""
MOST_SECONDS = 120.0
"""Seconds that an image may take."""
CHUNK = 1 << 16
SAFE = "%/:=&?~#+!$,;'@()*[]"
"""Characters that have a meaning in a URL; spaces and letters beyond ASCII are encoded."""

HANDLERS = (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor)


def is_url(text: str) -> bool:
    """True where the text is a URL, of the web or of another place: ``s3://bucket/cat.jpg``."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def is_web(text: str) -> bool:
    """True where the text is a URL of the web."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def url_names(url: str, inner: int = 1) -> Iterator[str]:
    """Ever longer names of results, of the parts of a URL; the last one is unique.

    Args:
        url: what follows the path of one of the web does not count.
        inner: parts at its end that the first name has.
    """
    host, *path = (re.split(r"[?#]", url)[0] if is_web(url) else url).split("/")[2:]
    parts = [clean for part in (host.rpartition("@")[2], *path) if (clean := _clean(part))] or ["image"]
    first = "/".join(parts[-inner:])
    yield os.path.splitext(first)[0] or first
    for length in range(min(inner, len(parts)), len(parts) + 1):
        yield "/".join(parts[-length:])
    yield f"{'/'.join(parts)}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class WebImage(UrlImage):
    """An image on the web."""

    def names(self) -> Iterator[str]:
        """Ever longer names of the results, of the parts of the URL."""
        return url_names(self.url)

    def state(self) -> tuple[int, ...]:
        """Numbers of the state that the server tells: of what was read, or else of what is there now."""
        if not self._seen:
            try:
                self._fetch(headers_only=True)
            except ImageError:
                return ()
        return self._seen[-1]

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where the server cannot be reached or refuses, what it sends is no image, incomplete or too
                large, or it takes too long.
        """
        data, kind = self._fetch()
        try:
            return decode_image(data, self.url)
        except ImageError as error:
            if kind.startswith("image/") or kind in ("", "application/octet-stream", "binary/octet-stream"):
                raise
            raise ImageError(f"{self.url}: the server sent {kind}, not an image; check the address") from error

    def _fetch(self, headers_only: bool = False) -> tuple[bytes, str]:
        """Content, unless the headers do as they tell the state; and the kind that the server says it is."""
        deadline = time.monotonic() + MOST_SECONDS
        try:
            request = Request(
                quote(self.url, safe=SAFE), headers={"User-Agent": "densevl", "Accept": "image/*,*/*;q=0.5"}
            )
            with _opener().open(request, timeout=TIMEOUT) as response:
                told = response.headers.get("ETag") or response.headers.get("Last-Modified")
                length = int(response.headers.get("Content-Length") or -1)
                if length > MOST_BYTES:
                    raise ImageError(f"{self.url} has {length} bytes, above the limit of {MOST_BYTES}; scale it down")
                data = b"" if told and headers_only else self._content(response, length, deadline)
                kind = (response.headers.get("Content-Type") or "").split(";")[0].strip().lower()
        except HTTPError as error:
            raise ImageError(f"{self.url}: {self._refusal(error)}") from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            late = isinstance(reason, TimeoutError)
            said = f"nothing came for {TIMEOUT:.0f} seconds" if late else str(reason) or type(reason).__name__
            raise ImageError(f"{self.url} cannot be fetched: {said}; check the address and the network") from None
        self._seen[:] = [told_numbers(length if told else len(data), told.encode() if told else data)]
        return data, kind

    def _content(self, response: Any, length: int, deadline: float) -> bytes:
        content = bytearray()
        while piece := response.read1(CHUNK):
            content += piece
            if len(content) > MOST_BYTES:
                raise ImageError(f"{self.url} has more than {MOST_BYTES} bytes, the limit; scale it down")
            if time.monotonic() > deadline:
                raise ImageError(f"{self.url} took more than {MOST_SECONDS:.0f} seconds; fetch it and name the file")
        if len(content) < length:
            raise ImageError(f"{self.url}: the connection broke after {len(content)} of {length} bytes; try again")
        return bytes(content)

    def _refusal(self, error: HTTPError) -> str:
        if error.code in (301, 302, 303, 307, 308):
            return str(error.reason).splitlines()[0].rstrip(" -:")
        cure = "try again later" if error.code >= 500 or error.code == 429 else "check the address"
        return f"the server answers {error.code} {error.reason}; {cure}"


class _Redirects(HTTPRedirectHandler):
    """Follows redirects within the web alone."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not is_web(newurl):
            raise HTTPError(
                newurl, code, f"it leads to {newurl}, which is not on the web; check the address", headers, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    """What opens URLs of the web; no files and no FTP, which Python's own opener knows as well."""
    opener = OpenerDirector()
    for handler in (*HANDLERS, _Redirects):
        opener.add_handler(handler())
    return opener


def told_numbers(length: int, told: bytes) -> tuple[int, int]:
    """The state of what has so many bytes, and is told from other versions by a text, such as its ``ETag``."""
    return length, int.from_bytes(hashlib.sha256(told).digest()[:6], "big")


def _clean(part: str) -> str:
    """A part of a URL as a name of a file that every system takes; nothing where it would lead elsewhere."""
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "_", unquote(part))[:100].strip()
    return "" if name.strip(".") == "" else name

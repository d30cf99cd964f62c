"""Images on the web, from a server on this machine that behaves well or badly."""

import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import ImageError
from densevl.core.inputs import find_inputs, open_input, urls


def png(value):
    """An image of one grey value, as a file."""
    file = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


class Site(BaseHTTPRequestHandler):
    """Answers by the path; ``/NAME`` calls the method ``NAME``."""

    content, told, asked = png(7), {}, []

    def log_message(self, *_): ...

    def do_GET(self):
        type(self).asked.append(self.path)
        name = self.path.strip("/").split("?")[0].split(".")[0]
        getattr(self, name)()

    def answer(self, data, length=None, **headers):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for header, value in {**headers, **self.told}.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def image(self):
        self.answer(self.content, Content_Type="image/png")

    def longer(self):
        self.answer(self.content, length=len(self.content) + 100)

    def shorter(self):
        self.answer(self.content, length=len(self.content) // 2)

    def unsized(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"\0" * 1000)

    def huge(self):
        self.answer(b"", length=10**12)

    def page(self):
        self.answer(b"<!DOCTYPE html><p>Please log in", Content_Type="text/html; charset=utf-8")

    def hang(self):
        time.sleep(1)

    def trickle(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b"\0")
            self.wfile.flush()
            time.sleep(0.05)

    def missing(self):
        self.send_error(404)

    def busy(self):
        self.send_error(503)

    def redirect(self, to):
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def moved(self):
        self.redirect("/image.png")

    def to_file(self):
        self.redirect("file:///etc/passwd")

    def to_ftp(self):
        self.redirect("ftp://127.0.0.1/a.png")

    def circle(self):
        self.redirect("/circle")


@pytest.fixture
def site(monkeypatch):
    """The address of a server; its class attributes are what it has and says."""
    monkeypatch.setattr(Site, "told", {})
    monkeypatch.setattr(Site, "content", png(7))
    monkeypatch.setattr(Site, "asked", [])
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["image.png", "moved", "unsized", "image?size=large", "image.png#part"])
def test_an_image_is_read(site, path):
    [item] = find_inputs([f"{site}/{path}"])
    assert (item.read() == 7).all()
    assert item.place == f"{site}/{path}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "the server answers 404 Not Found; check the address"),
        ("busy", "the server answers 503 Service Unavailable; try again later"),
        ("to_file", "file:///etc/passwd"),
        ("to_ftp", "ftp://127.0.0.1/a.png, which is not on the web"),
        ("circle", "infinite loop"),
        ("page", "the server sent text/html, not an image; check the address"),
        ("longer", r"the connection broke after \d+ of \d+ bytes"),
        ("shorter", "truncated, damaged"),
        ("huge", "1000000000000 bytes, above the limit"),
        ("endless", "more than 50000 bytes, the limit"),
        ("hang", "nothing came for 0 seconds"),
        ("trickle", "took more than 0 seconds"),
    ],
)
def test_what_cannot_be_had_is_said_with_its_address(site, path, message, monkeypatch):
    monkeypatch.setattr(urls, "TIMEOUT", 0.2)
    monkeypatch.setattr(urls, "MOST_SECONDS", 0.3)
    monkeypatch.setattr(urls, "MOST_BYTES", 50000)
    with pytest.raises(ImageError, match=message) as refused:
        open_input(f"{site}/{path}").read()
    assert f"{site}/{path}" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a.png", "http://[bad/a.png", "http:///a.png", "http://nowhere.invalid/a"]
)
def test_no_server(url):
    with pytest.raises(ImageError, match="cannot be fetched"):
        open_input(url).read()
    assert open_input(url).state() == ()


@pytest.mark.parametrize("header", ["ETag", "Last_Modified"])
def test_the_server_tells_the_state_without_sending_the_image(site, header, monkeypatch):
    states = []
    for value in ("one", "one", "two"):
        Site.told = {header: value}
        item = open_input(f"{site}/image.png")
        states.append(item.state())
        item = open_input(f"{site}/image.png")
        item.read()
        assert item.state() == states[-1], "what was read has the state that was told"
    assert states[0] == states[1] != states[2]
    assert len(Site.asked) == 6


def test_without_a_word_of_the_server_the_content_tells_the_state(site):
    before = open_input(f"{site}/image.png").state()
    assert open_input(f"{site}/image.png").state() == before != ()
    Site.content = png(8)
    assert open_input(f"{site}/image.png").state() != before


def test_an_image_that_changes_after_it_was_read_is_not_taken_for_the_new_one(site):
    item = open_input(f"{site}/image.png")
    item.read()
    before = item.state()
    Site.content = png(9)
    assert item.state() == before
    assert open_input(f"{site}/image.png").state() != before

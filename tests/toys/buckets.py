"""Servers of S3 and of Google Cloud Storage on this machine, for sources in buckets."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

S3 = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3 over HTTP."""
    server = pytest.importorskip("moto.server")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(scope="session")
def gs_server() -> Iterator[str]:
    """The address of a server that speaks as Google Cloud Storage does, over HTTP; it asks nobody for credentials."""
    server = pytest.importorskip("gcp_storage_emulator.server")
    import logging

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    running = server.create_server("127.0.0.1", 0, in_memory=True)
    running.start()
    running._api._httpd.handle_error = lambda *request: None  # clients hang up when they know enough
    host, port = running._api._httpd.server_address
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A bucket of a test by itself, as what fsspec reads it with; ``bucket.url`` is where it is.

    A test that is marked by ``pytest.mark.parametrize("bucket", ["s3"], indirect=True)`` has that store alone.
    """
    protocol = request.param
    fsspec, _ = pytest.importorskip("fsspec"), pytest.importorskip({"s3": "s3fs", "gs": "gcsfs"}[protocol])
    strange = ("AWS_", "GOOGLE_", "DENSEVL_OFFLINE", "HF_HUB_OFFLINE")
    for name in [name for name in os.environ if name.startswith(strange) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    address = request.getfixturevalue(f"{protocol}_server")
    keys = {f"AWS_{name}": value for name, value in S3.items()} | {"AWS_ENDPOINT_URL": address}
    settings = {"s3": keys, "gs": {"STORAGE_EMULATOR_HOST": address}}[protocol]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    forget(protocol)
    files = fsspec.filesystem(protocol)
    files.name = f"bucket-{abs(hash(request.node.nodeid)) % 10**9}"
    files.url = f"{protocol}://{files.name}"
    files.mkdir(files.name)
    yield files
    forget(protocol)


def forget(protocol: str) -> None:
    """Forget how a store is reached, so that variables of the environment are read anew."""
    import fsspec

    from densevl.core.inputs import remote

    fsspec.filesystem(protocol).clear_instance_cache()
    remote._shared.cache_clear()

"""The process of one worker: it takes chunks, and says what became of each item as soon as it knows.

It ends with the connection to the process that started it, so that none is left where that was killed.
"""

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any

from densevl.core.engine.chunks import Stop
from densevl.core.engine.contracts import Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError

__all__ = ["GRACE", "READY", "serve"]

READY = "ready"
"""Said once the worker is made."""

GRACE = 10.0
"""Seconds that a process has to end what it does, such as to write a file, when it is to end."""


def serve(connection: Connection, recipe: bytes, threads: int, pipeline: Pipeline, gpu: str | None = None) -> None:
    """Work until the connection is closed.

    Args:
        connection: brings the batches of chunks; takes :data:`READY`, then (said, failure, took) of each item in their
            order, or a :class:`Stop`.
        recipe: pickled; makes the worker.
        threads: of each operation.
        pipeline: how the steps overlap.
        gpu: the only one that this process sees; None for all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    os.environ["OMP_NUM_THREADS"] = str(threads)
    inbox = _Inbox(connection)
    try:
        worker = _made(recipe)
        _limit(threads)
        connection.send(READY)
        for outcome in pipeline.stream(worker, inbox.take):
            connection.send((outcome.said, outcome.failure, outcome.took))
    except (BrokenPipeError, ConnectionResetError):
        return  # nobody listens any more
    except DensevlError as error:
        _say(connection, Stop.of(error))
    except Exception as error:  # a fault of the program, which would come again in another process
        traceback.print_exc()
        _say(connection, Stop("DensevlError", f"a worker process failed: {type(error).__name__}: {error}"))


def _say(connection: Connection, stop: Stop) -> None:
    with suppress(OSError):
        connection.send(stop)


def _made(recipe: bytes) -> Worker[Any, Any, Any, Any]:
    """The worker.

    Raises:
        DensevlError: where it cannot be made.
    """
    try:
        make = pickle.loads(recipe)  # of the process that started this one
    except (AttributeError, ImportError) as error:
        raise DensevlError(f"a worker process cannot find what it is to do ({error}); define it in a module") from error
    worker: Worker[Any, Any, Any, Any] = make()
    return worker


def _limit(threads: int) -> None:
    """Let libraries that are there already take no more threads; others read the environment."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)


class _Inbox:
    """Batches of the chunks that have come.

    Args:
        connection: brings them.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self.ended = connection, False
        self._batches = SimpleQueue[Sequence[Any]]()
        threading.Thread(target=self._listen, daemon=True).start()

    def take(self, wait: bool) -> Sequence[Any] | None:
        """The next batch, an empty one at the end; where it is not to wait, None for none."""
        try:
            batch = self._batches.get(block=wait)
        except Empty:
            return None
        return () if self.ended else batch

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                for batch in self.connection.recv():
                    self._batches.put(batch)
        self.ended = True
        self._batches.put(())
        timer = threading.Timer(GRACE, os._exit, (1,))
        timer.daemon = True
        timer.start()

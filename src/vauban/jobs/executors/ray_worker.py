"""Worker in a Ray actor: answers to a unit, with progress and messages, as a stream."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from vauban.jobs.allocator import keep_freed
from vauban.jobs.executors.worker import answers

Messages = SimpleQueue[dict[str, Any] | None]


class _Forward(logging.Handler):
    """Sends messages to where the run is shown, with the answers to the unit at hand."""

    messages: Messages | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.messages is not None:
            self.messages.put({"log": self.format(record), "level": record.levelno})


class ActorWorker:
    """Performs units one after the other in one thread, while another hands on what is said of them.

    Args:
        environment: Variables that are set where the node has none of the name.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        keep_freed()
        self._thread = ThreadPoolExecutor(1)
        self._forward = _Forward(logging.WARNING)
        logging.getLogger().handlers[:] = [self._forward]

    def perform(self, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The answers to a unit, and what is said on the way."""
        messages: Messages = SimpleQueue()  # of this unit alone: who has all answers reads no further
        performed = self._thread.submit(self._perform, asked, messages)
        while (message := messages.get()) is not None:
            yield message
        performed.result()  # raises what no answer tells

    def _perform(self, asked: Mapping[str, Any], messages: Messages) -> None:
        self._forward.messages = messages
        try:
            for answer in answers(asked, lambda done, total: messages.put({"done": done, "total": total})):
                messages.put(answer)
        finally:
            messages.put(None)

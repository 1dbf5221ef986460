"""Meter of a black box: counts the images that are sent, against the ledger of a run where there is one."""

from __future__ import annotations

import time

from vauban.store.query_ledger import QueryLedger


class Meter:
    """Counter of images sent to one black box.

    It is no part of what a network is: it has no `__dict__`, so that no identity holds it.

    Attributes:
        ledger: The ledger of the run, shared by its processes; None: nothing is kept and nothing is limited.
        sent: Images sent by this process.
    """

    __slots__ = ("_next", "ledger", "sent")

    def __init__(self) -> None:
        self.ledger: QueryLedger | None = None
        self.sent = 0
        self._next = 0.0

    def spend(self, images: int) -> None:
        """Count images that are about to be sent.

        Raises:
            QueriesSpent: The run may not send so many.
        """
        if self.ledger is not None:
            self.ledger.spend(images)
        self.sent += images

    def turn(self, service: str, images: int, rate: float) -> float:
        """Seconds to wait before images may be sent, so that `rate` images a second reach a service."""
        if self.ledger is not None:
            return self.ledger.turn(service, images, rate)
        now = time.time()
        begin = max(now, self._next)
        self._next = begin + images / rate
        return begin - now

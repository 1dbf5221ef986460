"""Meter of a black box: counts the images that are sent, against the ledger of a run where there is one."""

from __future__ import annotations

import time

from vauban.core.errors import ContractError
from vauban.store.query_ledger import QueryLedger


class Meter:
    """Counter of images sent to one black box.

    It is no part of what a network is: it has no `__dict__`, so that no identity holds it.

    Attributes:
        ledger: The ledger of the run, shared by its processes; None: nothing is kept and nothing is limited.
        sent: Images sent by this process.
        classes: Number of classes of its answers so far; None before the first.
    """

    __slots__ = ("_next", "classes", "ledger", "sent")

    def __init__(self) -> None:
        self.ledger: QueryLedger | None = None
        self.sent = 0
        self.classes: int | None = None
        self._next = 0.0

    def spend(self, images: int) -> None:
        """Count images that are about to be sent.

        Raises:
            QueriesSpent: The run may not send so many.
        """
        if self.ledger is not None:
            self.ledger.spend(images)
        self.sent += images

    def check_classes(self, classes: int, name: str) -> None:
        """Note the number of classes of an answer. Raises ContractError where an earlier answer had another one."""
        if self.classes not in (None, classes):
            raise ContractError(
                f"expected {self.classes} classes from the oracle {name!r}, as it answered before, got {classes}: it is "
                "another network now; judge that in a run of its own"
            )
        self.classes = classes

    def turn(self, service: str, images: int, rate: float) -> float:
        """Seconds to wait before images may be sent, so that `rate` images a second reach a service."""
        if self.ledger is not None:
            return self.ledger.turn(service, images, rate)
        now = time.time()
        begin = max(now, self._next)
        self._next = begin + images / rate
        return begin - now

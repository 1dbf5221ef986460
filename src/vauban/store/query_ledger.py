"""Ledger of a run directory: how many images were sent to black boxes, by all processes and all runs in it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from vauban.core.errors import ContractError, QueriesSpent, plural
from vauban.store import files

WIDTH = 20  # digits of a number: the file is written in place, and never longer or shorter


@dataclass(frozen=True)
class QueryLedger:
    """File of two counts; each change is made under a lock, and before the images are sent: a kill never counts too few.

    Attributes:
        path: The file.
        limit: Images that may be sent in all; None: any number.
    """

    path: Path
    limit: int | None = None

    @property
    def sent(self) -> int:
        """Images sent so far."""
        return self._read()[0]

    @property
    def refused(self) -> bool:
        """Whether images were refused since `begin`."""
        return self._read()[1] > 0

    def begin(self) -> None:
        """Forget what was refused to an earlier run."""
        if self.path.exists():
            with files.opened_alone(self.path) as file:
                _write(file, _counts(os.pread(file, 4096, 0), self.path)[0], 0)

    def spend(self, images: int) -> None:
        """Count images that are about to be sent.

        Raises:
            QueriesSpent: There would be more of them than the limit; they are not counted.
        """
        with files.opened_alone(self.path) as file:
            sent, refused = _counts(os.pread(file, 4096, 0), self.path)
            if self.limit is not None and sent + images > self.limit:
                _write(file, sent, refused + images)
                raise QueriesSpent(self.stopped(sent))
            _write(file, sent + images, refused)

    def stopped(self, sent: int) -> str:
        """Why a run ends here."""
        return (
            f"stopped after {plural(sent, 'image', f'{sent:,}')} of the {self.limit:,} that this run may send; finished "
            "batches are stored, go on with a larger --max-queries-total"
        )

    def turn(self, service: str, images: int, rate: float) -> float:
        """Seconds to wait before images may be sent, so that `rate` images a second reach a service from all processes."""
        name = hashlib.sha256(service.encode()).hexdigest()[:8]
        with files.opened_alone(self.path.with_name(f".turn-{name}")) as file:
            now, known = time.time(), os.pread(file, 64, 0)
            begin = max(now, float(known)) if known.strip() else now
            os.pwrite(file, f"{begin + images / rate:{2 * WIDTH}.6f}".encode(), 0)
        return begin - now

    def _read(self) -> tuple[int, int]:
        return _counts(self.path.read_bytes(), self.path) if self.path.exists() else (0, 0)


def _counts(content: bytes, path: Path) -> tuple[int, int]:
    if not content:
        return 0, 0
    try:
        counts = json.loads(content)
        return int(counts["sent"]), int(counts["refused"])
    except (ValueError, KeyError, TypeError):
        raise ContractError(
            f"{path}: expected the number of images sent, got something else; put the number there, as "
            '{"sent": N, "refused": 0}'
        ) from None


def _write(file: int, sent: int, refused: int) -> None:
    os.pwrite(file, f'{{"sent": {sent:{WIDTH}d}, "refused": {refused:{WIDTH}d}}}\n'.encode(), 0)

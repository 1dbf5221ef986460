"""Views of stored pictures, kept beside the rows in a run directory."""

from __future__ import annotations

import hashlib
from pathlib import Path


def magnified(run: Path, picture: bytes) -> Path:
    """File of the magnified view of a stored PNG is in a run directory; named by its content, so that cells share it."""
    return run / "magnified" / f"{hashlib.sha256(picture).hexdigest()[:32]}.png"

"""Certificates: bounds below which no change of an image changes the answer, each with what it certifies."""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry

registry: Registry[Any] = Registry("certificate", "vauban.certificates")
"""Facts: `norms`, in which it bounds; `bounds`, the classifier that it is about ("smoothed" or "plain")."""

face(
    __name__,
    registry,
    extras={
        "Bound": "vauban.certificates.base:Bound",
        "Certificate": "vauban.certificates.base:Certificate",
        "load": "vauban.certificates.words:load",
    },
)

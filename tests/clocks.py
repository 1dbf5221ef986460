"""Clock of one module: other threads of the process keep theirs, so that their naps are not counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest


def set_clock(
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.time,
) -> None:
    """Replace what one module calls `time`.

    Args:
        monkeypatch: Puts it back.
        module: It says `import time`.
        sleep: Stands in for `time.sleep`.
        now: Stands in for `time.time`.
    """
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=sleep, time=now, monotonic=time.monotonic))

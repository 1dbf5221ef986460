"""Selections: which of the epochs' networks a training keeps, one file each."""

from __future__ import annotations

from typing import Any

from vauban.core.registry import Registry

registry: Registry[Any] = Registry("selection", "vauban.training.selections")
"""Subclasses of `vauban.training.selection.Selection`."""

"""Criteria: the scalar that an objective makes of logits and labels, one file each."""

from __future__ import annotations

from typing import Any

from vauban.core.registry import Registry

registry: Registry[Any] = Registry("criterion", "vauban.training.criteria")
"""Frozen dataclasses that are called with logits `(batch, classes)` and labels `(batch,)` and return a scalar."""

"""Restarts by name: `restarts:attack=[pgd:eps=8/255,steps=20],times=5`."""

from __future__ import annotations

from vauban.attacks import registry
from vauban.engine.combine import Restarts

registry.register("restarts", words={"attack": "attack"}, combines=True)(Restarts)

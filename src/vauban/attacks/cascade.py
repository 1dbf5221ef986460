"""Cascade by name: `cascade:attacks=[pgd][square:steps=100],want=success`."""

from __future__ import annotations

from vauban.attacks import registry
from vauban.engine.combine import Cascade

registry.register("cascade", words={"attacks": "attacks"}, combines=True)(Cascade)

"""Options that several commands share, and how their words are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.core.errors import VaubanError

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RootOption = Annotated[Path | None, typer.Option("--data-root", help="Folder that holds the data sets.")]


def batch_size_of(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise VaubanError(f"expected --batch-size as a whole number above 0 or auto, got {text!r}")
    return int(text)


def device_of(text: str) -> str:
    import torch

    try:
        device = torch.device(text)
    except RuntimeError:
        raise VaubanError(f"expected --device cpu, cuda or cuda:0, got {text!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise VaubanError(f"expected --device cpu, cuda or cuda:0, got {text!r}")
    found = torch.cuda.device_count() if device.type == "cuda" and torch.cuda.is_available() else 0
    if device.type == "cuda" and not found:
        raise VaubanError(f"--device {text}: this machine has no CUDA device that torch can use; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= found:
        raise VaubanError(f"--device {text}: this machine has {found} CUDA devices, the first is cuda:0")
    return text

"""Options that several commands share, and the readers of their words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.core.errors import VaubanError
from vauban.core.text import parse_value

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RejectsOption = Annotated[bool, typer.Option("--rejects", help="The model's last logit means 'rejected'.")]
RootOption = Annotated[Path | None, typer.Option("--data-root", help="Folder that holds the data sets.")]
ModelOption = Annotated[str, typer.Option(help="Model: a name, a weights file or file.py:name.")]
DefenceOption = Annotated[str, typer.Option(help="Defence in front of the model, none, or a chain a+b.")]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda.")]
PrecisionOption = Annotated[
    str, typer.Option(help="Of networks under attack: float32, bf16 or tf32; judged in float32.")
]
BatchSizeOption = Annotated[str, typer.Option(help="Images of a batch, or auto.")]
SeedOption = Annotated[int, typer.Option(help="Seed of every random number.")]
WorkersOption = Annotated[int, typer.Option(help="Processes over which batches are spread.")]
ExecutorOption = Annotated[
    str | None, typer.Option(help="Where work is done: serial, processes:workers=4, ray:address=auto,gpus=1.")
]
ShardOption = Annotated[
    str | None, typer.Option(help="i/n: every n-th batch from the i-th on, beside other processes; then once without.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DownloadOption = Annotated[bool, typer.Option("--download", help="Let torchvision fetch MNIST or CIFAR-10 if missing.")]
MaxQueriesOption = Annotated[
    int | None, typer.Option(help="Images that services and other black boxes may be sent in all; then it stops.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show cells, passes and time; run nothing.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")]
FailUnderOption = Annotated[
    float | None, typer.Option(help="Exit 1 when robust accuracy, a share, is below or rests on sand.")
]
GateOption = Annotated[str, typer.Option(help="What --fail-under compares: interval (its lower end) or point.")]


def output_path(text: str | Path) -> Path:
    """A file or folder to write, from the word of an option. Raises VaubanError for no word, which would be `.`."""
    if not str(text).strip():
        raise VaubanError("expected a file or folder to write, got an empty word; leave the option out or name one")
    return Path(text)


JunitOption = Annotated[
    Path | None, typer.Option(parser=output_path, help="JUnit XML to write: a test case for each cell and gate.")
]


def number_of(option: str, text: str) -> float:
    """A number or a fraction.

    Args:
        option: The name of the option, for the error.
        text: Its word, for example `5/255`.

    Raises:
        VaubanError: The word is no number.
    """
    value = parse_value(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise VaubanError(f"expected {option} as a number or a fraction such as 5/255, got {text!r}")
    return float(value)


def batch_size_of(text: str) -> int | None:
    """Batch size from the word of `--batch-size`: a whole number above 0, None for `auto`.

    Raises:
        VaubanError: The word is neither.
    """
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise VaubanError(f"expected --batch-size as a whole number above 0 or auto, got {text!r}")
    return int(text)


def device_of(text: str) -> str:
    """Device from the word of `--device`, one that this machine has.

    Raises:
        VaubanError: The word names no device, or one that this machine has not.
    """
    from vauban.core.device import check_device

    return check_device(text, "--device")


def precision_of(text: str, device: str) -> str:
    """Precision from the word of `--precision`, one that the device has.

    Raises:
        VaubanError: The word names no precision, or one that the device has not.
    """
    from vauban.core.arithmetic import check_precision

    return check_precision(text, device, "--precision")

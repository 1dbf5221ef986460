"""ONNX networks as black boxes: `onnx:model.onnx`, `onnx:file=model.onnx,answers=labels`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vauban.core.errors import ContractError, MissingExtra, UnknownName
from vauban.core.parameters import Count, Whole
from vauban.models import registry
from vauban.models.answers import Answers, Classes, Kind
from vauban.models.black_box import BlackBox
from vauban.models.external_data import external_data
from vauban.store.files import digest_of

TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""Types of the images that a network may take; those of bytes are 255 x, rounded."""


class Session:
    """Session of onnxruntime with as many threads as torch has now. It has no `__dict__`, so that no identity holds it."""

    __slots__ = ("_session", "_threads", "path")

    def __init__(self, path: Path) -> None:
        self.path, self._threads = path, 0
        self._session: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self

    def __call__(self) -> Any:
        """The session. Raises MissingExtra, ContractError where the file is no network."""
        threads = torch.get_num_threads()
        if self._session is None or threads != self._threads:
            self._session, self._threads = _opened(self.path, threads), threads
        return self._session


@dataclass(frozen=True)
class OnnxNetwork:
    """Network of an ONNX file.

    Attributes:
        content: SHA-256 of the file and of the files of its external data: a network counts by it, wherever it lies.
        output: Name of the output that has the answer.
        session: What runs it.
    """

    content: str
    output: str
    session: Session = field(repr=False, kw_only=True)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.session.path.name

    def __call__(self, images: Any) -> Any:
        """What it answers to images `(batch, ...)` float32. Raises ContractError where they do not fit."""
        session = self.session()
        (wanted,) = session.get_inputs()
        shape = wanted.shape
        _check_shape(images.shape, shape, self.name)
        size = shape[0] if isinstance(shape[0], int) else len(images)
        kind = TYPES[wanted.type]
        given = (images * 255).round().clip(0, 255).astype(kind) if kind is np.uint8 else images.astype(kind)
        answers = [self._run(session, wanted.name, given[at : at + size], size) for at in range(0, len(given), size)]
        return np.concatenate(answers)

    def _run(self, session: Any, name: str, images: Any, size: int) -> Any:
        """The answers to at most `size` images; a network of a fixed batch gets the last one again in the empty places."""
        full = np.concatenate([images, np.repeat(images[-1:], size - len(images), 0)]) if len(images) < size else images
        try:
            (answer,) = session.run([self.output], {name: full})
        except Exception as error:
            raise ContractError(f"{self.name}: onnxruntime fails on images {full.shape}: {_first(error)}") from error
        if not isinstance(answer, np.ndarray) or answer.ndim == 0 or len(answer) != size:
            got = f"shape {answer.shape}" if isinstance(answer, np.ndarray) else type(answer).__name__
            raise ContractError(
                f"{self.name}: expected an answer for each of {size} images, got {got}; name another output="
            )
        return answer[: len(images)]


@registry.register("onnx", positional="file", weights="own", words={"file": "file"}, extra="onnx", queries=True)
def onnx(
    file: Path | str,
    answers: Kind = "scores",
    classes: Classes | None = None,
    top: Count | None = None,
    digits: Whole | None = None,
    output: str = "",
) -> BlackBox:
    """An ONNX network, run by onnxruntime on the processor, which answers and has no gradient: `onnx:model.onnx`.

    Args:
        file: The file; external data lie beside it. It counts by its content, and theirs.
        answers: scores, probabilities, or labels alone.
        classes: Number of classes; needed where its output is labels.
        top: It tells that many of the largest scores; None: all.
        digits: Decimals to which they are rounded; None: not rounded.
        output: Name of the output that has the answer; "": the first.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UnknownName: There is no such output.
        ContractError: The file is absent or no network of images alone.
    """
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise ContractError(f"expected an ONNX file, got {str(file)!r}, which does not exist")
    session = Session(path)
    loaded = session()
    inputs, outputs = loaded.get_inputs(), [one.name for one in loaded.get_outputs()]
    if len(inputs) != 1:
        named = ", ".join(f"{one.name} {one.type}" for one in inputs) or "none"
        raise ContractError(
            f"{path.name}: expected one input, the images, got {named}; export the network with the rest inside"
        )
    (images,) = inputs
    if images.type not in TYPES or len(images.shape) < 2:
        raise ContractError(
            f"{path.name}: expected an input (batch, channel, height, width) of float, double, float16 or uint8, got "
            f"{images.name} {images.type} of shape {images.shape}"
        )
    if output and output not in outputs:
        raise UnknownName(f"output of {path.name}", output, outputs)
    network = OnnxNetwork(_digest(path), output or outputs[0], session=session)
    return BlackBox(network, Answers(answers, classes, top, digits))


def _opened(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx", f"the model onnx:{path.name}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what is wrong is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # beside torch's threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ContractError(
            f"{path}: expected an ONNX network, got what onnxruntime refuses: {_first(error)}"
        ) from error


def _check_shape(given: tuple[int, ...], wanted: list[Any], name: str) -> None:
    """Raises ContractError where images `(batch, ...)` do not fit the shape of an input, whose names stand for any size."""
    same = len(given) == len(wanted) and all(
        not isinstance(size, int) or size == own for own, size in zip(given[1:], wanted[1:], strict=False)
    )
    if not same:
        last = len(wanted) == 4 and wanted[-1] in (1, 3) and given[1] == wanted[-1]
        way = "; its channels are last: export it with channels first" if last else ""
        raise ContractError(f"{name}: expected images {_shown(wanted[1:])}, got {_shown(given[1:])}{way}")


def _shown(shape: Any) -> str:
    return f"({', '.join(str(size) if isinstance(size, int) else 'any' for size in shape)})"


def _digest(path: Path) -> str:
    """SHA-256 over the file, and over the names and contents of the files of its external data."""
    model = path.read_bytes()
    digest = hashlib.sha256(model)
    for name, beside in external_data(model, path.parent).items():
        digest.update(name.encode() + bytes.fromhex(digest_of(beside)))
    return digest.hexdigest()


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]

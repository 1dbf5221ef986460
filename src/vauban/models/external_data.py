"""External data of ONNX files: the files beside a model that hold its tensors."""

from __future__ import annotations

import re
from pathlib import Path

LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])")
"""Key `location` of a tensor's external data in a serialised model, and the length of the file's name."""


def external_data(model: bytes, folder: Path) -> dict[str, Path]:
    """The files by the names that stand in a model, wherever a tensor names them, in the order of the alphabet.

    Args:
        model: The content of its file.
        folder: Where that lies. A file that is absent is left out.
    """
    places = LOCATION.finditer(model)
    names = {model[place.end() : place.end() + place[1][0]].decode("utf-8", "replace") for place in places}
    return {name: folder / name for name in sorted(names) if (folder / name).is_file()}

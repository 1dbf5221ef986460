"""Named data sets: each a stream of `Batch` with a content fingerprint.

    from vauban import data
    test = data.load("mnist/test[:500]", root="~/datasets")
    for batch in test.batches(128): ...

A file of this package registers what it adds: `make(split, place, **parameters)`, where split is None for a name that
carries none. Facts: `splits`, `classes`, `levels`.
"""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry

registry: Registry[Any] = Registry("dataset", "vauban.data")

face(
    __name__,
    registry,
    extras={
        "DataLocation": "vauban.data.location:DataLocation",
        "Dataset": "vauban.data.dataset:Dataset",
        "MissingData": "vauban.data.location:MissingData",
        "from_torch": "vauban.data.torch_data:from_torch",
        "load": "vauban.words.data:load",
    },
)

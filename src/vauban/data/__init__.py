"""Named datasets: each a stream of `Batch` with a content fingerprint.

    from vauban import data
    test = data.load("mnist/test[:500]", root="~/datasets")
    for batch in test.batches(128): ...

A file of this package registers what it adds; `load` looks it up by name.
"""

from vauban.data.dataset import Dataset
from vauban.data.named import DataLocation, MissingData, load, registry

__all__ = ["DataLocation", "Dataset", "MissingData", "load", "registry"]

"""Answer of a service: JSON as scores or labels."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from vauban.core.errors import ContractError, ServiceFailed
from vauban.models.answers import UNTOLD, Answers

KEYS = {"labels": ("labels", "scores"), "scores": ("scores",), "probabilities": ("scores",)}
"""Where an object has what is wanted, unless `field` says so."""


def read_answer(content: bytes, answers: Answers, field: str, batch: int, name: str) -> Any:
    """Scores `(batch, classes)` float64, `UNTOLD` where the service left them out, or labels int64 `(batch,)`.

    Args:
        content: JSON: scores of each image, a list, or those of some classes, `[[class, score], ...]` or
            `{class: score, ...}`; or labels. An object has them under `scores` or `labels`, or where `field` says. Of a
            single image, without a list around it too.
        answers: What is told.
        field: Dotted path to it; "": see `content`.
        batch: Number of images.
        name: What messages call the service.

    Raises:
        ServiceFailed: The content is something else.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ServiceFailed(f"expected JSON from {name}, got {len(content)} bytes of something else") from None
    value = _at(value, field, answers, name)
    rows = value if isinstance(value, list) and len(value) == batch and not _is_one(value, batch) else [value]
    if len(rows) != batch:
        raise ServiceFailed(f"expected answers to {batch} images from {name}, got {_kind(value)}")
    if all(_number(row) for row in rows):
        return _labels(rows, answers, name)
    read = [_scores(row, answers, name) for row in rows]
    if len({len(row) for row in read}) != 1:
        raise ServiceFailed(f"expected as many scores of each image from {name}, got {sorted({len(r) for r in read})}")
    return np.stack(read)


def _at(value: Any, field: str, answers: Answers, name: str) -> Any:
    """What stands at a path, or under the usual key of an object."""
    path = field.split(".") if field else []
    if not path and isinstance(value, dict) and not any(str(key).lstrip("-").isdigit() for key in value):
        path = [next((key for key in KEYS[answers.kind] if key in value), KEYS[answers.kind][0])]
    for key in path:
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            raise ServiceFailed(
                f"expected {key!r} in the answer of {name}, got {_kind(value)}; say where it is: field=a.b"
            )
    return value


def _is_one(value: list[Any], batch: int) -> bool:
    """Whether a list of one element is itself the answer to one image: one score of one class."""
    return (
        batch == 1
        and len(value) == 1
        and isinstance(value[0], list)
        and len(value[0]) == 2
        and isinstance(value[0][0], int)
        and _number(value[0][1])
    )


def _labels(rows: list[Any], answers: Answers, name: str) -> Any:
    if answers.kind != "labels":
        raise ServiceFailed(f"expected scores from {name}, got one number for each image; of labels say answers=labels")
    if not all(isinstance(row, int) for row in rows):
        raise ServiceFailed(f"expected whole numbers as labels from {name}, got other numbers")
    return np.array([_class(row, answers, name) for row in rows], dtype=np.int64)


def _scores(row: Any, answers: Answers, name: str) -> Any:
    """The scores of one image, `(classes,)` float64."""
    if isinstance(row, list) and row and all(_number(score) for score in row):
        return np.array(row, dtype=np.float64)
    pairs: list[Any] = list(row.items()) if isinstance(row, dict) else row if isinstance(row, list) else []
    good = all(isinstance(pair, (list, tuple)) and len(pair) == 2 and _number(pair[1]) for pair in pairs)
    if not pairs or not good:
        raise ServiceFailed(f"expected scores of each image from {name}, got {_kind(row)}")
    if answers.classes is None or answers.top is None:
        raise ServiceFailed(
            f"expected the score of every class from {name}, got those of {len(pairs)}; say top=K and classes=N"
        )
    scores = np.full(answers.classes, UNTOLD)
    for label, score in pairs:
        at = _class(label, answers, name)
        if scores[at] != UNTOLD:
            raise ServiceFailed(f"expected each class once from {name}, got {at} twice")
        scores[at] = score
    return scores


def _class(label: Any, answers: Answers, name: str) -> int:
    text = str(label)
    if isinstance(label, bool) or not text.isdigit() or int(text) >= (answers.classes or 2**31):
        shown = text[:20] if text.lstrip("-").isdigit() else "another word"
        raise ServiceFailed(f"expected classes from 0 to {(answers.classes or 0) - 1} from {name}, got {shown}")
    return int(text)


def _number(value: Any) -> bool:
    """Whether it is a number that fits into a float."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return whole or isinstance(value, float)


def _kind(value: Any) -> str:
    """A part of an answer, of which nothing is quoted but the names of fields."""
    if isinstance(value, dict):
        keys = [key for key in value if key.isidentifier() and len(key) <= 20][:6]
        return f"an object with the keys {', '.join(keys)}" if keys else f"an object of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def check_told(answers: Answers) -> None:
    """Check that what a service tells can be read. Raises ContractError where the number of classes is not known."""
    if answers.classes is None and (answers.kind == "labels" or answers.top is not None):
        what = "labels" if answers.kind == "labels" else f"the {answers.top} largest scores"
        raise ContractError(f"expected the number of classes beside {what}, got none; say classes=10")

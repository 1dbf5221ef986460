"""Study of a study file, and the line of a word that it cannot be made of."""

from __future__ import annotations

from vauban.core.arithmetic import check_precision
from vauban.core.device import check_device
from vauban.core.errors import ContractError, VaubanError
from vauban.data import Dataset
from vauban.evaluate.study import Study
from vauban.evaluate.study_file import Placed, StudyFile
from vauban.evaluate.study_words import Reader, with_defences
from vauban.words import data as datasets
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.defence import defence_of
from vauban.words.metric import metric_of
from vauban.words.named import Named
from vauban.words.threat import threat_of


def study_of(file: StudyFile) -> Study:
    """The study that a file describes.

    Raises:
        ContractError: A word cannot be read, or words do not go together; the message has the line of a word that is
            wrong by itself, and the file where only several words together are.
    """
    try:
        return Study(**file.words)
    except VaubanError as error:
        raise _placed(file, error) from error


def _placed(file: StudyFile, error: VaubanError) -> ContractError:
    """The error with its place: words are read again one by one, and the first that fails names the line."""
    data: Dataset | None = None
    first = ("labels", "data")  # data are read by their labels, and attacks take their budget from the data
    ordered = sorted(file.placed, key=lambda word: first.index(word.key) if word.key in first else len(first))
    for word in ordered:
        try:
            if word.key == "data":
                data = _data(file, word)
            else:
                _read(file, word, data)
        except VaubanError as own:
            return file.refusal(word.line, own)
    return ContractError(f"{file.path}: {error}")


def _data(file: StudyFile, word: Placed) -> Dataset:
    given = {key: file.words[key] for key in ("root", "labels", "download") if key in file.words}
    return datasets.load(word.text, **given)


def _read(file: StudyFile, word: Placed, data: Dataset | None) -> None:
    """Read one word by itself. Raises VaubanError where that fails."""
    text = word.text
    if word.key == "models":
        with_defences(text, [Named("none", defence_of("none").value)], Reader())
    elif word.key == "attacks":
        attack_of(text, data)
    elif word.key == "defences":
        defence_of(text)
    elif word.key == "threats":
        threat_of(text)
    elif word.key == "metrics":
        metric_of(text)
    elif word.key == "goal":
        goals.load(text)
    elif word.key == "device":
        check_device(text)
    elif word.key == "precision":
        check_precision(text, str(file.words.get("device", "cpu")))
    elif word.key == "labels" and text not in ("true", "own"):
        raise ContractError(f"expected labels 'true' or 'own', got {text!r}")

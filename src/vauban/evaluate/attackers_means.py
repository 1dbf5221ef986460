"""Means of an attacker before the attack: networks trained once and kept in the run directory, data by name."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vauban.data import Dataset
from vauban.evaluate.training import carry_out
from vauban.jobs.identity import address
from vauban.store.files import wait_for
from vauban.training.run import TrainingRun
from vauban.words import data as datasets
from vauban.words import model as models
from vauban.words.defence import TRAINED

log = logging.getLogger("vauban")


@dataclass(frozen=True)
class RunMeans:
    """What an attacker can do in a run directory, see `vauban.threats.base.Means`.

    Attributes:
        network: The network below the defences; None where they are part of it.
        defended: The network that is attacked.
        folder: Where networks are kept.
        root: Folder of the data sets.
        device: Where networks are trained.
    """

    network: nn.Module | None
    defended: nn.Module
    folder: Path
    root: str | Path | None
    device: str

    def train(self, run: TrainingRun) -> nn.Module:
        """The network of a training behind what it was trained behind; a second process waits for the first."""
        data = self.data(run.data)
        path = self.folder / f"{address({'run': run.describe(), 'data': data.fingerprint})}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with wait_for(
            path.with_suffix(".lock"), lambda: log.warning("waiting for another process that trains %s", run)
        ):
            if not path.is_file():
                log.warning("training a surrogate: %s", run)
                carry_out(run, data, path, scratch=self.folder, device=self.device)
        return models.load(f"{TRAINED}|{models.with_weights(run.model, path)}")

    def build(self, model: str, seed: int) -> nn.Module:
        return models.build(model, seed).to(self.device)

    def data(self, name: str) -> Dataset:
        return datasets.load(name, root=self.root)

    def tell(self, sentence: str) -> None:
        log.warning("%s", sentence)

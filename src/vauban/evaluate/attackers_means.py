"""Means of an attacker before the attack: networks trained once and kept in the run directory, data by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vauban.core.cards import bare
from vauban.core.contracts import Batch
from vauban.core.errors import plural
from vauban.data import Dataset
from vauban.evaluate.training import carry_out
from vauban.jobs.identity import address, computed_by, describe
from vauban.models import weights
from vauban.store.files import wait_for
from vauban.threats.fitter import NetworkFit, NetworkFitter
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
        name = address({"run": run.describe(), "data": data.fingerprint})
        with self._made_once(self.folder / f"{name}.safetensors") as path:
            if not path.is_file():
                log.warning("training a surrogate: %s", run)
                carry_out(run, data, path, scratch=self.folder, device=self.device)
        return models.load(f"{TRAINED}|{models.with_weights(run.model, path)}")

    def fit(self, fitter: NetworkFitter, images: Batch, seed: int) -> NetworkFit:
        """The network of a fitter; a second process waits for the first, and nothing is asked twice."""
        described = {"fitter": describe(fitter), "images": describe(images.x), "target": describe(self.defended)}
        name = address({**described, "seed": seed, **computed_by(self.device)})
        network = models.build(fitter.model, seed).to(self.device)
        with self._made_once(self.folder / f"answers-{name}.safetensors") as path:
            if not path.is_file():
                asks = plural(fitter.asks(len(images)), "answer")
                self.tell(f"{asks} will be asked for, to train {fitter.model} on them")
                made = fitter.fit(self.defended, network, [images.to(self.device)], seed=seed)
                fitter.save(made, path, {"recipe": describe(fitter), "seed": seed})
            bare(network).load_state_dict(weights.read(path))
            told = weights.metadata(path)["fit"]
        self.tell(f"{fitter.model} gives {told['reached']['agreement']:.1%} of {plural(told['forwards'], 'answer')}")
        return NetworkFit(network.eval(), told["reached"], told["images"], told["forwards"])

    @contextmanager
    def _made_once(self, path: Path) -> Iterator[Path]:
        """A time in which no other process makes a file of the run directory."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with wait_for(
            path.with_suffix(".lock"), lambda: log.warning("waiting for another process that makes %s", path.name)
        ):
            yield path

    def data(self, name: str) -> Dataset:
        return datasets.load(name, root=self.root)

    def tell(self, sentence: str) -> None:
        log.warning("%s", sentence)

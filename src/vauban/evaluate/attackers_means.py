"""Means of an attacker before the attack: networks trained once and kept in the run directory, data by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vauban.core.cards import bare
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.precision import working_type
from vauban.data import Dataset
from vauban.evaluate.queries import black_boxes
from vauban.evaluate.training import carry_out
from vauban.jobs.identity import address, computed_by, describe
from vauban.models import weights
from vauban.store.files import wait_for
from vauban.threats.base import is_random
from vauban.threats.fitter import FIRST, NetworkFit, NetworkFitter
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
        """The network of a fitter; a second process waits for the first.

        Where it was made before, the target is asked about a few images again, and about all where it answers otherwise.

        Raises:
            ContractError: More images are asked about than the run may still send, or see `NetworkFitter.fit`.
        """
        described = {"fitter": describe(fitter), "images": describe(images.x), "target": describe(self.defended)}
        name = address({**described, "seed": seed, **computed_by(self.device)})
        images = images.to(self.device)
        network = models.build(fitter.model, seed).to(self.device, working_type(images.x.dtype))
        with self._made_once(self.folder / f"answers-{name}.safetensors") as path:
            if not (path.is_file() and self._answers_as_before(path, fitter, images, seed)):
                self._check_affordable(fitter, len(images))
                asks = plural(fitter.asks(len(images)), "answer")
                self.tell(f"{asks} will be asked for, to train {fitter.model} on them")
                made = fitter.fit(self.defended, network, [images], seed=seed)
                fitter.save(made, path, {"recipe": describe(fitter), "seed": seed})
            bare(network).load_state_dict(weights.read(path))
            told = weights.metadata(path)["fit"]
        self.tell(f"{fitter.model} gives {told['reached']['agreement']:.1%} of {plural(told['forwards'], 'answer')}")
        return NetworkFit(network.eval(), told["reached"], told["images"], told["forwards"])

    def _answers_as_before(self, path: Path, fitter: NetworkFitter, images: Batch, seed: int) -> bool:
        """Whether the target still gives the answers (rtol 1e-4) that a kept network learnt from.

        It is believed where nothing is known of them, where answers vary, and where the run may send no more: then no cell
        runs either.
        """
        first = weights.metadata(path)["fit"].get("first")
        left = self._left
        if first is None or is_random(self.defended) or (left is not None and left < FIRST):
            return True
        now = fitter.first(self.defended, images.x, seed)
        if now is None:
            return True
        before = torch.tensor(first, dtype=torch.float64)
        same = before.shape == now.shape and torch.allclose(now.double(), before, rtol=1e-4, atol=1e-5)
        if not same:
            self.tell(f"the model answers differently from when {path.name} was stored; training {fitter.model} anew")
        return same

    def _check_affordable(self, fitter: NetworkFitter, images: int) -> None:
        """Check, before anything is sent, that the run may send what a fit asks about. Raises ContractError."""
        asks, left = fitter.asks(images), self._left
        if left is not None and asks > left:
            raise ContractError(
                f"expected {asks:,} images that may still be sent, to train {fitter.model} on the answers, got {left:,}; "
                "set a larger --max-queries-total, or fewer rounds"
            )

    @property
    def _left(self) -> int | None:
        """How many images each black box of the target may still be sent; None: any number."""
        boxes = list(black_boxes(self.defended))
        ledgers = [box.meter.ledger for box in boxes if box.meter.ledger is not None]
        left = [(ledger.limit - ledger.sent) // len(boxes) for ledger in ledgers if ledger.limit is not None]
        return min(left, default=None)

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

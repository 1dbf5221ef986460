"""Reconstruction of an image by an auto-encoder, as what stands before a network; and the files that hold one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.defences.autoencoders.segnet import Form, SegNet
from vauban.models import weights as files


@dataclass(frozen=True, eq=False)
class TrainedAutoEncoder:
    """An auto-encoder and what it was trained on.

    Attributes:
        network: The auto-encoder.
        shape: Of the images, `(channels, height, width)`.
        fitted_to: Fingerprint of the network that its decoder was tuned through; "": none, or not known.
    """

    network: SegNet
    shape: tuple[int, ...]
    fitted_to: str = ""

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the SHA-256 of all tensors by name."""
        seen = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            seen.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return seen.hexdigest()[:8]


class Reconstruction(nn.Module):
    """min(max(A(x), 0), 1) of an auto-encoder A, in evaluation mode whatever the network behind it is in.

    Attributes:
        autoencoder: A.
        shape: Of the images that it was trained on, `(channels, height, width)`.
        purpose: Quoted where images have another one.
    """

    def __init__(self, trained: TrainedAutoEncoder, purpose: str) -> None:
        super().__init__()
        self.autoencoder, self.shape, self.purpose = trained.network.eval(), trained.shape, purpose
        self.training = False

    def train(self, mode: bool = True) -> Reconstruction:
        """Only the flag of this module: the auto-encoder is a part of the defence and is not trained here."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise ContractError(
                f"expected images of shape {self.shape}, which {self.purpose} was trained on, got {tuple(x.shape[1:])}; "
                "fit another one to these"
            )
        weight = next(self.autoencoder.parameters())
        out: Tensor = self.autoencoder(x.to(weight.dtype))
        return out.clamp(0, 1).to(x.dtype)


def save(trained: TrainedAutoEncoder, kind: str, path: Path, meta: Mapping[str, Any]) -> None:
    """Write an auto-encoder with what it was trained on, whole or not at all."""
    told = {"form": trained.network.form, "image": list(trained.shape), "format": 1, "defence": kind}
    files.save(trained.network, path, {**meta, **told})


def read(path: str | Path, kind: str) -> TrainedAutoEncoder:
    """The auto-encoder of a file. Raises ContractError: it holds something else, or an auto-encoder of another kind."""
    path = Path(path).expanduser()
    state, meta = files.read(path), files.metadata(path)
    if meta.get("defence") != kind or meta.get("form") not in get_args(Form):
        raise ContractError(
            f"{path} holds no auto-encoder of the kind {kind}; fit one: vauban fit --fitter {kind} --data SET/train "
            "--out FILE"
        )
    shape = tuple(int(side) for side in meta["image"])
    network = SegNet(shape[0], meta["form"])
    files.fit_state(network, state, path)
    return TrainedAutoEncoder(network, shape, (meta.get("model") or {}).get("fingerprint", ""))

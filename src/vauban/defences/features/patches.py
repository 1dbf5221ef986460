"""Patch replacement. H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 6."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from torch import nn

from vauban.core.cards import Backward, Card
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, NonNegative, Parameters, Positive, Range, Whole
from vauban.defences import registry
from vauban.defences.base import Transformed, check_module
from vauban.defences.features.codebook import FIT, IMAGE, KIND, Codebook, read
from vauban.defences.features.lattice import DIMENSIONS
from vauban.defences.features.layers import follow
from vauban.defences.features.replacement import Replacement, SoftAssignment
from vauban.defences.features.strategies import Strategy
from vauban.defences.features.windows import Windows

PatchRule = Literal["identity", "soft", "own"]
"""What BPDA differentiates in place of the replacement; own: the replacement itself, whose strategy has a derivative."""
PatchSize = Annotated[int, Range(1, 31)]
"""Side of a patch in pixels."""
LatticeScale = Annotated[float, Range(1e-4, 1e3)]
"""Distance between points; what float32 still rounds to them."""
SCALE = 0.2


@registry.register(KIND, random=False, differentiable=False, words={"file": "file"})
@dataclass(frozen=True, eq=False)
class Patches(Parameters):
    """Patches of the image, or of a layer's output, moved toward the nearest of a codebook learned from clean images.

    Channels in slices of d; in every slice patches of (2a+1)^2 d components on a grid; each moved toward its codeword by
    the strategy; where patches overlap their mean counts; then the network goes on. Several layers: `patches:file=A+
    patches:file=B`. Without a codebook the lattice E8 has the codewords: 8 channels at one place, in the image 8 pixels
    beside each other in one channel; no overlap.

    Attributes:
        file: A codebook that `vauban fit` wrote: it has the layer, the size of patches and the depth of slices.
        layer: The layer's name in the network, as in `named_modules()`, or "image"; None: that of the codebook, else the
            image.
        strategy: plain: the codeword itself; l2, linf: at most epsilon toward it in that norm; linear: the share epsilon
            of the way.
        epsilon: As the strategy says, in pixels of [0,1] or units of the feature; 0 is the bare network bit for bit. Plain
            has none.
        step: Pixels from a patch to the next, at most their size; 1 overlaps most.
        lattice: Distance between the points of E8, without a file.
        backward: What the card has BPDA differentiate at the layer: the identity; "soft", an assignment to several
            codewords; "own", the strategy's derivative.
        temperature: Of the soft assignment.
        book: A codebook, in the place of a file.

    Raises:
        ContractError: A file that holds no codebook or that of another layer, a value outside its range, a step beyond the
            patch, a derivative of its own for plain, a soft assignment to a lattice; when wrapped, no such layer; when run,
            images or a feature of another shape than the codebook's.

    Departures: a, c and the sample that codebooks are learned from are not printed: 3x3 patches, step 1. The last window of
    a row ends at the border. "Linear interpolation" of overlaps is read as the mean.
    """

    file: str | Path | None = field(default=None, repr=False)
    layer: str | Whole | None = None
    strategy: Strategy = "plain"
    epsilon: NonNegative = 0.0
    step: Count = 1
    lattice: LatticeScale = SCALE
    backward: PatchRule = "identity"
    temperature: Positive = 1.0
    book: Codebook | None = None
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = "Zhang 2021, thesis, chapter 6"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.file is not None:
            if self.book is not None:
                raise ContractError(f"expected a file or a codebook for {KIND!r}, got both; leave one out")
            object.__setattr__(self, "book", read(Path(self.file).expanduser()))
            object.__setattr__(self, "file", None)  # the defence is what was in it, wherever that was
        book = self.book
        if isinstance(self.layer, int):
            object.__setattr__(self, "layer", str(self.layer))  # of a part of a Sequential
        if book is not None and self.layer not in (None, book.layer):
            raise ContractError(f"expected layer={book.layer}, whose codebook this is, got {self.layer!r}; {FIT}")
        if self.layer is None:
            object.__setattr__(self, "layer", IMAGE if book is None else book.layer)
        self._check_choices()

    def _check_choices(self) -> None:
        if self.strategy == "plain" and self.epsilon:
            raise ContractError(f"expected no epsilon for strategy plain, got {self.epsilon}; take l2, linf or linear")
        if self.strategy == "linear" and self.epsilon > 1:
            raise ContractError(
                f"expected epsilon of at most 1, the whole way, for strategy linear, got {self.epsilon}"
            )
        if self.backward == "own" and self.strategy == "plain":
            raise ContractError("expected backward=identity or soft for strategy plain, got own, which is 0 everywhere")
        if self.backward == "soft" and self.book is None:
            raise ContractError("expected a codebook for backward=soft, got the lattice E8; take identity")
        if self.book is not None and self.step > self.book.size:
            raise ContractError(
                f"expected a step of at most {self.book.size}, the size of a patch, got {self.step}, which leaves gaps"
            )
        if self.book is not None and self.lattice != SCALE:
            raise ContractError(
                f"expected no lattice beside a codebook, got lattice={self.lattice}; leave one of them out"
            )
        if self.book is None and self.step != 1:
            raise ContractError(f"expected no step for the lattice E8, whose vectors do not overlap, got {self.step}")

    @property
    def windows(self) -> Windows:
        """The grid of patches."""
        if self.book is not None:
            return Windows(self.book.size, self.book.size, self.book.depth, (self.step, self.step))
        if self.layer == IMAGE:
            return Windows(1, DIMENSIONS, 1, (1, DIMENSIONS))
        return Windows(1, 1, DIMENSIONS, (1, 1))

    @property
    def card(self) -> Card:
        """The facts of one object that wraps nothing: the operation, and the rule where no module is needed for it."""
        return self._card(self._replacement())

    def _replacement(self) -> Replacement:
        return Replacement(str(self.layer), self.windows, self.strategy, self.epsilon, self.book, self.lattice)

    def _card(self, replacement: Replacement) -> Card:
        rule: Backward = SoftAssignment(replacement, self.temperature) if self.backward == "soft" else None
        name = "transform" if self.layer == IMAGE else "follower"
        return Card(KIND, backward={} if self.backward == "own" else {name: rule}, reference=self.reference)

    @property
    def name(self) -> str:
        """Name on the command line; a codebook is told by its size, since it counts by its content."""
        if self.book is None:
            source = f"lattice={self.lattice}"
        else:
            source = f"codewords={self.book.codewords.shape[1]}x{self.book.size}x{self.book.size}x{self.book.depth}"
        epsilon = "" if self.strategy == "plain" else f",epsilon={self.epsilon}"
        return f"{KIND}:{source},layer={self.layer},strategy={self.strategy}{epsilon},step={self.step}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with patches replaced in the image or behind the layer; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, or has no such layer; the nearest is named.
        """
        replacement = self._replacement()
        replacement.training = False
        if self.layer == IMAGE:
            return Transformed(check_module(module), self._card(replacement), replacement)
        return follow(check_module(module), str(self.layer), replacement, self._card(replacement))

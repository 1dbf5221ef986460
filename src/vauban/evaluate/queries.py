"""Queries of a study: how many images its black boxes are sent, at most, and the ledger that counts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.errors import ContractError, VaubanError, plural
from vauban.core.rng import seeded
from vauban.engine.network import predict
from vauban.engine.threat import DRAWS
from vauban.evaluate.cell import PROBE, Cell
from vauban.evaluate.diagnostics.indicators_rules import NOISES
from vauban.evaluate.diagnostics.preflight_checks import SINGLES
from vauban.evaluate.diagnostics.preflight_rules import POINTS, SUBSET
from vauban.models.black_box import BlackBox
from vauban.store.parquet import Store
from vauban.store.query_ledger import QueryLedger

AGAIN = 64  # images that are asked again at the end
VARY = 16  # images that tell whether answers vary


def black_boxes(network: nn.Module) -> Iterator[BlackBox]:
    """The black boxes in a network."""
    return (part for part in network.modules() if isinstance(part, BlackBox))


def drifts(network: nn.Module) -> bool:
    """Whether a network may answer otherwise some day, as a service does."""
    return any(box.drifts for box in black_boxes(network))


def count_in(ledger: QueryLedger, networks: Sequence[nn.Module]) -> None:
    """Have a ledger count what the black boxes among networks are sent.

    Raises:
        ContractError: It has a limit, and there is no black box.
    """
    boxes = [box for network in networks for box in black_boxes(network)]
    for box in boxes:
        box.meter.ledger = ledger
    if ledger.limit is not None and networks and not boxes:
        raise ContractError(
            "expected a model that is asked by queries (http://..., onnx:..., a black box) for --max-queries-total, got "
            "none; --budget bounds the passes for each image"
        )


@dataclass(frozen=True)
class ExpectedQueries:
    """Images that a study sends at most, for what is not stored.

    Attributes:
        images: Of the cells whose cost is known, diagnostics included.
        unknown: Number of cells whose cost is not known.
        batch: Of the most expensive batch.
        sent: Images that were sent before.
        limit: Images that may be sent in all; None: any number.
    """

    images: int
    unknown: int
    batch: int
    sent: int
    limit: int | None

    @property
    def sentence(self) -> str:
        """What is printed before the start."""
        more = f" and those of {plural(self.unknown, 'cell')} of unknown cost" if self.unknown else ""
        before = f", after {self.sent:,} sent before" if self.sent else ""
        text = f"images to be sent: at most {self.images:,}{more}{before}"
        if self.limit is None:
            return text
        text += f"; the run stops at {self.limit:,} in all"
        if self.batch > self.limit - self.sent:
            text += f", and a batch may take {self.batch:,}: a smaller --batch-size keeps more of what is paid for"
        return text


def expected(cells: Sequence[Cell], store: Store, ledger: QueryLedger, preflight: bool) -> ExpectedQueries:
    """How many images the cells of a study send to black boxes, at most; nothing is sent to know."""
    images = unknown = batch = 0
    looked: set[tuple[nn.Module, str]] = set()
    for cell in cells:
        copies = _copies(cell)
        each, left, size = _each(cell), _left(cell, store), cell.settings.batch_size
        unknown += each is None and copies > 0 and left > 0
        images += copies * (PROBE + (each or 0) * left + -(-left // size))
        batch = max(batch, copies * (each or 0) * min(size, left))
        if not preflight or not left:
            continue
        images += copies * _after(cell)
        for once, more in ((cell.threat_name, _before(cell)), ("", min(AGAIN, len(cell.data)) * drifts(cell.defended))):
            images += 0 if (cell.defended, once) in looked else copies * more
            looked.add((cell.defended, once))
    return ExpectedQueries(images, unknown, batch, ledger.sent, ledger.limit)


def _copies(cell: Cell) -> int:
    """Images that black boxes are sent for one image: 0 without any, more than 1 behind a defence that asks often.

    The network is called once, with zeros in the place of every answer.
    """
    boxes, sent = list(black_boxes(cell.defended)), [0]

    def zeros(x: Tensor) -> Tensor:
        sent[0] += len(x)
        return x.new_zeros(len(x), cell.data.classes)

    if not boxes:
        return 0
    try:
        for box in boxes:
            box.__dict__["forward"] = zeros
        with seeded("copies"):
            predict(cell.defended, cell.data.take(1).x.to(cell.settings.device))
    except VaubanError:  # what does not fit is told when it runs
        return len(boxes)
    finally:
        for box in boxes:
            del box.__dict__["forward"]
    return sent[0]


def _left(cell: Cell, store: Store) -> int:
    """Images of a cell that are not stored."""
    size, n = cell.settings.batch_size, len(cell.data)
    folder = store.cell(cell.hash)
    stored = folder.indices() if folder.exists else set()
    return sum(min(size, n - at) for index, at in enumerate(range(0, n, size)) if index not in stored)


def _each(cell: Cell) -> int | None:
    """Images that the attack and the verdict on one image send at most; None where that is not known."""
    count, threat = cell.attack.value.passes, cell.threat
    if count is None:
        return None
    forwards, backwards = count
    asked = forwards if threat.grants & {"scores", "labels"} else forwards - backwards  # of a surrogate: closing checks
    if threat.budget is not None:
        asked = min(asked, threat.budget)
    judged = 2 + threat.rejects + (threat.levels is None)
    return asked + cell.goal.needs_logits + (DRAWS * (judged + 1) if threat.randomised else judged)


def _before(cell: Cell) -> int:
    """Images of the preflight on one network under one threat: repeated, alone, around, and whether answers vary."""
    n = min(SUBSET, len(cell.data))
    return n * (3 + POINTS) + min(SINGLES, n) + VARY + 3


def _after(cell: Cell) -> int:
    """Images of the diagnostics of one attack: verdicts, noise, and of an attack on a surrogate further runs."""
    forwards, backwards = cell.attack.value.passes or (0, 0)
    further = 3 * (forwards - backwards) + 1 if backwards else 0
    return min(SUBSET, len(cell.data)) * (2 + NOISES + 1 + further) + 4

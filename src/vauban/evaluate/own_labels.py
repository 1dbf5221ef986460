"""Own labels: a data set with a model's answers in the place of its labels."""

from __future__ import annotations

import torch
from torch import nn

from vauban.core.answers import NO_LABEL, predicted
from vauban.core.cards import rejecting
from vauban.core.errors import ContractError, plural
from vauban.data import Dataset
from vauban.evaluate.cell import answers
from vauban.evaluate.settings import Settings
from vauban.words.named import Named


def own_labels(model: Named[nn.Module], data: Dataset, settings: Settings) -> Dataset:
    """The data with the model's own answers as labels. Raises ContractError where an answer is no class."""
    batches = data.batches(settings.batch_size, settings.device)
    own = torch.cat([predicted(answers(model.value, batch.x)).cpu() for batch in batches])
    if without := int(((own == NO_LABEL) | (rejecting(model.value) & (own == data.classes))).sum()):
        raise ContractError(
            f"expected a class from {model.name} for labels='own', got a rejection, NaN or infinity on {without} of "
            f"{plural(len(own), 'image')}; use the true labels"
        )
    return data.relabel(own)

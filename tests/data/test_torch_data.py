"""Pairs, torch data sets and loaders as data: ids, content, ranges, and what is refused."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from vauban import data
from vauban.core.errors import ContractError
from vauban.data import torch_data

X = torch.arange(6 * 4).view(6, 1, 2, 2) / 255
Y = torch.tensor([0, 1, 2, 0, 1, 2])
PLAIN = TensorDataset(X, Y)


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


SOURCES = {
    "pair": (X, Y),
    "data set": PLAIN,
    "loader": DataLoader(PLAIN, batch_size=4),
    "shuffled loader": DataLoader(PLAIN, batch_size=4, shuffle=True),
    "loader that drops": DataLoader(PLAIN, batch_size=4, drop_last=True),
    "stream": Stream(),
    "loader of a stream": DataLoader(Stream(), batch_size=4),
    "loader without batches": DataLoader(TensorDataset(X[None], Y[None]), batch_size=None),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_is_the_same_data(source):
    loaded = data.load(source)
    batch = loaded.all()
    assert torch.equal(batch.x, X)
    assert (batch.y.tolist(), batch.ids.tolist()) == (Y.tolist(), list(range(6)))
    assert (loaded.classes, loaded.levels) == (3, 256)
    assert loaded.fingerprint == data.load((X, Y)).fingerprint


def test_the_fingerprint_is_that_of_the_content_and_not_of_where_it_is_held(monkeypatch):
    held = data.load(PLAIN).fingerprint
    monkeypatch.setattr(torch_data, "HELD", 0)
    read_again = data.load(PLAIN)
    assert isinstance(read_again.source, torch_data.ReadAgain)
    assert read_again.fingerprint == held
    assert torch.equal(read_again[2:5].all().x, X[2:5])
    assert data.load((X.flip(0), Y)).fingerprint != held


def test_a_sampler_that_takes_some_keeps_their_positions_as_ids():
    some = data.load(DataLoader(PLAIN, sampler=SubsetRandomSampler([4, 1, 3])))
    batch = some.all()
    assert batch.ids.tolist() == [1, 3, 4]
    assert torch.equal(batch.x, X[[1, 3, 4]])
    assert torch.equal(some[1:].all().x, X[[3, 4]])
    assert data.load(Subset(PLAIN, [4, 1])).all().y.tolist() == [1, 1]


def test_a_loader_collates_its_own_way_and_labels_may_be_of_any_whole_type():
    def collate(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[int]]:
        return torch.stack([x for x, _ in samples]).flip(-1), [int(y) for _, y in samples]

    batch = data.load(DataLoader(PLAIN, batch_size=3, collate_fn=collate)).all()
    assert torch.equal(batch.x, X.flip(-1))
    assert batch.y.dtype == torch.int64
    assert data.load((X, Y.int())).all().y.dtype == torch.int64


def test_names_of_the_classes_and_levels_can_be_given():
    named = data.from_torch((X / 3, Y), name="thirds", class_names=("a", "b", "c", "d"), levels=None)
    assert (named.name, named.classes, named.levels) == ("thirds", 4, None)
    eight_bit = data.load(((X * 255).round().to(torch.uint8), Y))
    assert eight_bit.fingerprint == data.load((X, Y)).fingerprint
    assert torch.equal(eight_bit.all().x, X)


class Random(TensorDataset):
    def __getitem__(self, index):
        return torch.rand(1, 2, 2), 0


class Dicts(TensorDataset):
    def __getitem__(self, index):
        return {"image": X[index], "label": 0}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ((X * 255, Y), "divide by 255"),
        ((X - 0.5, Y), "undo the normalisation"),
        ((X / 3, Y), "levels=None"),
        ((X, Y.float()), "labels as int64"),
        ((X, Y[:3]), r"shape \(6,\)"),
        (Random(X), "leave random transforms out"),
        (Dicts(X), "collate_fn"),
        (X, "pair"),
        (TensorDataset(X[:0], Y[:0]), "at least one sample"),
        (SubsetRandomSampler([1]), "DataLoader"),
    ],
)
def test_what_is_no_data_is_refused_in_one_line(source, said):
    with pytest.raises(ContractError, match=said) as refused:
        data.load(source)
    assert "\n" not in str(refused.value)


def test_an_empty_pair_is_refused():
    with pytest.raises(ContractError, match="at least one sample"):
        data.from_torch((X[:0], Y[:0]))


def test_a_batch_is_refused_with_the_way_out():
    batch = data.load("digits/test").take(2)
    with pytest.raises(ContractError, match=r"got Batch; pass \(batch.x, batch.y\)"):
        data.from_torch(batch)

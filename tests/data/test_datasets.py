"""Named data sets that need no files: digits and the toy sets; slices, ids, lattice, fingerprints."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vauban import data
from vauban.core.errors import ContractError, UnknownName
from vauban.data.dataset import Dataset, InMemory


def made(values: torch.Tensor, y: torch.Tensor, **changes) -> Dataset:
    return Dataset("made", "test", InMemory(values), y, tuple("abc"), **changes)


def test_digits_are_the_rescaled_uci_images():
    from sklearn.datasets import load_digits

    raw = load_digits()
    test, train = data.load("digits"), data.load("digits/train")
    assert (len(train), len(test), test.shape, test.classes, test.levels) == (1198, 599, (1, 8, 8), 10, 256)
    expected = np.array(
        [[[math.floor(v * 255 / 16 + 0.5) / 255 for v in row] for row in img] for img in raw.images[2::3]]
    )
    np.testing.assert_allclose(test.all().x[:, 0].numpy(), expected, atol=1e-7)
    assert test.all().y.tolist() == raw.target[2::3].tolist()
    assert train.all().y.tolist() == [t for i, t in enumerate(raw.target) if i % 3 != 2]


def test_eight_bit_pixels_are_exactly_value_over_255_in_float32():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = made(values, torch.tensor([0])).all().x.flatten()
    assert x.dtype == torch.float32
    assert x.numpy().tolist() == [float(np.float32(v) / np.float32(255)) for v in range(256)]
    assert torch.equal(x * 255, (x * 255).round())


@given(
    n=st.integers(1, 40),
    start=st.none() | st.integers(0, 45),
    stop=st.none() | st.integers(0, 45),
    step=st.none() | st.integers(1, 7),
)
def test_a_slice_keeps_the_ids_of_its_samples(n, start, stop, step):
    values, y = torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1), torch.arange(n) % 3
    part, expected = slice(start, stop, step), list(range(n))[start:stop:step]
    if not expected:
        with pytest.raises(ContractError, match="empty slice"):
            made(values, y)[part]
        return
    batch = made(values, y)[part].all()
    assert batch.ids.tolist() == expected
    assert (batch.x.flatten() * 255).round().int().tolist() == expected
    assert batch.y.tolist() == [i % 3 for i in expected]


@pytest.mark.parametrize(
    ("text", "ids"),
    [("[:5]", range(5)), ("[100:103]", range(100, 103)), ("[::200]", range(0, 599, 200)), ("", range(599))],
)
def test_slices_in_names(text, ids):
    assert data.load(f"digits/test{text}").rows.tolist() == list(ids)


def test_slices_of_slices_and_parameters_together():
    assert data.load("moons/train:n=50,noise=0[10:20]")[::5].rows.tolist() == [10, 15]
    assert data.load("moons/train[10:20]:n=50,noise=0").rows.tolist() == list(range(10, 20))


def test_batches_cover_the_set_once_in_order():
    digits = data.load("digits[:50]")
    parts = list(digits.batches(16))
    assert [len(p) for p in parts] == [16, 16, 16, 2]
    assert torch.equal(torch.cat([p.x for p in parts]), digits.all().x)
    assert torch.equal(torch.cat([p.ids for p in parts]), digits.rows)
    assert torch.equal(digits.take(7).x, digits.all().x[:7])
    assert len(digits.take(99)) == 50
    with pytest.raises(ContractError, match="batch size"):
        next(digits.batches(0))


def test_the_fingerprint_is_of_the_content():
    values = torch.arange(24, dtype=torch.uint8).reshape(6, 1, 2, 2)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    base = made(values, y).fingerprint
    assert base == made(values.clone(), y.clone()).fingerprint
    changed = values.clone()
    changed[5, 0, 1, 1] += 1
    others = {
        made(changed, y).fingerprint,
        made(values, y.flip(0)).fingerprint,
        made(values, y)[:5].fingerprint,
        made(values, y)[torch.tensor([1, 0, 2, 3, 4, 5])].fingerprint,
        made(values, y, levels=None).fingerprint,
        made(values.reshape(6, 1, 1, 4), y).fingerprint,
        made(values, y).relabel(y.flip(0) * 0).fingerprint,
    }
    assert len(others) == 7
    assert base not in others
    assert made(values, y)[:5][:3].fingerprint == made(values, y)[:3].fingerprint


def test_the_fingerprint_of_digits_is_known():
    found = data.load("digits/test[:10]").fingerprint
    assert found == "e3e3fd417f98ea00a7eb5fff8a405bb2c7c2a29deda6059381f1c3ee485a326e"


def test_relabelling_keeps_the_samples():
    digits = data.load("digits[:20]", labels="own")
    assert digits.labels_from == "own"
    given_by_model = torch.arange(20) % 10
    other = digits.relabel(given_by_model)
    assert torch.equal(other.all().y, given_by_model)
    assert torch.equal(other.all().x, digits.all().x)
    assert other.labels_from == "given"
    with pytest.raises(ContractError, match=r"labels in \[0, 9\]"):
        digits.relabel(given_by_model + 1)
    with pytest.raises(ContractError, match="int64"):
        digits.relabel(given_by_model[:3])


def test_moons_and_circles_without_noise_lie_on_their_curves():
    moons = data.load("moons:n=200,noise=0").all()
    points = (moons.x - 0.5) * 4 + torch.tensor([0.5, 0.25])
    outer, inner = points[moons.y == 0], points[moons.y == 1]
    torch.testing.assert_close(outer.norm(dim=1), torch.ones(100))
    torch.testing.assert_close((inner - torch.tensor([1.0, 0.5])).norm(dim=1), torch.ones(100))
    assert bool((outer[:, 1] >= -1e-6).all())
    assert bool((inner[:, 1] <= 0.5 + 1e-6).all())
    circles = data.load("circles:n=200,noise=0").all()
    radii = ((circles.x - 0.5) * 3).norm(dim=1)
    torch.testing.assert_close(radii, torch.where(circles.y == 0, 1.0, 0.5))
    assert circles.levels is None


def test_toy_sets_are_stable_and_their_splits_differ():
    first = data.load("circles/train:seed=3").all().x
    assert torch.equal(first, data.load("circles/train:seed=3").all().x)
    assert not torch.equal(first, data.load("circles/test:seed=3").all().x)
    assert not torch.equal(first, data.load("circles/train:seed=4").all().x)
    assert torch.equal(first[:100], data.load("circles/train:seed=3,n=100").all().x)


def test_every_registered_set_states_its_facts():
    names = data.registry.names()
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "imagenet", "folder", "moons", "circles"} <= set(names)
    assert all(entry.summary for entry in data.registry)
    assert data.load("digits").budgets["linf"] == 0.2


def test_a_set_from_a_users_file(tmp_path):
    code = """
import torch
from vauban.data.dataset import Dataset, InMemory
def mine(n=4):
    return Dataset('mine', 'all', InMemory(torch.zeros(n, 3)), torch.zeros(n, dtype=torch.int64), ('a', 'b'), levels=None)
wrong = 3
"""
    (tmp_path / "sets.py").write_text(code)
    assert len(data.load(f"{tmp_path}/sets.py:mine")) == 4
    assert len(data.load(f"{tmp_path}/sets.py:mine:n=6[:5]")) == 5
    with pytest.raises(ContractError, match="torch Dataset or a DataLoader, got int"):
        data.load(f"{tmp_path}/sets.py:wrong")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("digit", UnknownName, "did you mean 'digits'"),
        ("digits/val", ContractError, "split of digits in train, test, got 'val'"),
        ("digits[5]", ContractError, r"slice like \[:500\]"),
        ("digits[::0]", ContractError, "slice like"),
        ("digits[-5:]", ContractError, "without negative"),
        ("digits[700:]", ContractError, "empty slice"),
        ("digits:size=3", UnknownName, "parameter of dataset 'digits'"),
        ("moons:n=1", ContractError, "n of moons as a whole number of at least 2"),
        ("moons:noise=-1", ContractError, "noise of moons as a number of at least 0"),
    ],
)
def test_bad_names_get_one_line(text, error, says):
    with pytest.raises(error, match=says) as caught:
        data.load(text)
    assert "\n" not in str(caught.value)


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(ContractError, match="labels in"):
        made(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(ContractError, match="'true' or 'own'"):
        data.load("digits", labels="mine")


def test_fewer_than_no_samples_are_refused():
    digits = data.load("digits/test")
    for samples in (digits, digits.take(3)):
        with pytest.raises(ContractError, match="whole number of at least 0, got -1"):
            samples.take(-1)
        assert len(samples.take(np.int64(2))) == 2


@pytest.mark.parametrize("name", ["x", "images", "labels"])
def test_the_images_of_a_data_set_are_those_of_a_batch(name):
    with pytest.raises(AttributeError, match=r"\.all\(\)\.x, \.take\(n\)\.x, \.y"):
        getattr(data.load("digits"), name)
    assert not hasattr(data.load("digits"), "x")


def test_any_other_attribute_is_plainly_missing():
    with pytest.raises(AttributeError, match=r"expected an attribute of a Dataset, got 'shapes'$"):
        _ = data.load("digits").shapes


def test_a_data_set_is_copied_and_pickled():
    some = data.load("digits")[:3]
    for other in (copy.deepcopy(some), pickle.loads(pickle.dumps(some))):
        assert other.fingerprint == some.fingerprint


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("folder", {"path": 3}, "expected path of folder as text, got 3"),
        ("folder", {"split": 1}, "expected split of folder as text or none, got 1"),
        ("mnist", {"split": "test", "place": "here"}, "expected place of mnist as DataLocation, got 'here'"),
    ],
)
def test_wrong_kinds_in_a_call_are_told_in_one_line(name, given, message):
    with pytest.raises(ContractError) as error:
        getattr(data, name)(**given)
    assert str(error.value) == message

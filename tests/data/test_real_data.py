"""The real files, where they are at hand: known counts, first labels and pixel sums."""

import torch

from vauban import data


def test_mnist(shared_data):
    test = data.load("mnist/test", shared_data)
    assert (len(test), test.shape) == (10000, (1, 28, 28))
    assert test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train = data.load("mnist/train[:5]", shared_data)
    assert train.y.tolist() == [5, 0, 4, 1, 9]
    assert int((train.take(1).x * 255).sum()) == 27525


def test_cifar10_prefixes_are_class_balanced(shared_data):
    found = data.load("cifar10/test[:50]", shared_data).all()
    assert found.x.shape == (50, 3, 32, 32)
    assert torch.bincount(found.y).tolist() == [5] * 10
    assert torch.equal(found.x * 255, (found.x * 255).round())


def test_imagenet_sample_decodes_only_what_is_asked(shared_data):
    found = data.load("imagenet/val1000:crop=227", shared_data)
    assert (len(found), found.classes, found.class_names[2]) == (1000, 1000, "great_white_shark")
    assert torch.equal(found.y, torch.arange(1000))
    assert next(found.batches(2)).x.shape == (2, 3, 227, 227)

"""ONNX networks as black boxes: the answers of a network written by hand, fixed batches, types, and identity by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from tests.models.onnx_files import linear

import vauban as vb
from vauban.core.errors import ContractError, UnknownName
from vauban.jobs.identity import address, describe

W = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
WANTED = X.flatten(1) @ torch.from_numpy(W)


def write(path: Path, **words: Any) -> Path:
    return linear(path, W, (1, 4, 4), **words)


@pytest.mark.parametrize("batch", ["n", 1, 2, 8])
def test_a_fixed_batch_is_filled_and_images_do_not_see_each_other(tmp_path: Path, batch: Any) -> None:
    model = vb.models.load(f"onnx:{write(tmp_path / 'a.onnx', batch=batch)}")
    whole = model(X)
    torch.testing.assert_close(whole, WANTED)
    alone = torch.cat([model(x[None]) for x in X])
    assert torch.equal(whole, alone) if batch == 1 else torch.allclose(whole, alone)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.UINT8])
def test_images_are_given_in_the_type_that_it_takes(tmp_path: Path, kind: int) -> None:
    model = vb.models.load(f"onnx:file={write(tmp_path / 'a.onnx', kind=kind)}")
    torch.testing.assert_close(model(X), WANTED, rtol=1e-3, atol=1e-2)


def test_labels_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "a.onnx")
    told = torch.nn.functional.one_hot(WANTED.argmax(1), 3).float()
    for words in ("answers=labels", "answers=labels,classes=3,output=label"):
        assert torch.equal(vb.models.load(f"onnx:{file},{words}")(X), told)


def test_a_network_counts_by_its_content_and_that_of_its_external_data(tmp_path: Path) -> None:
    def identity(file: Path) -> str:
        return address(describe(vb.models.load(f"onnx:{file}")))

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (write(tmp_path / "one" / "a.onnx", external=True), write(tmp_path / "two" / "b.onnx", external=True))
    before = identity(one)
    assert before == identity(two)
    assert before != identity(write(tmp_path / "c.onnx"))
    data = tmp_path / "two" / "w.data"
    data.write_bytes((-np.frombuffer(data.read_bytes(), "<f4")).tobytes())
    assert identity(two) != before


def test_threads_follow_torchs(tmp_path: Path) -> None:
    model, threads = vb.models.load(f"onnx:{write(tmp_path / 'a.onnx')}"), torch.get_num_threads()
    session = model.fn.session
    first = session()
    assert session() is first
    try:
        torch.set_num_threads(threads + 1)
        assert session().get_session_options().intra_op_num_threads == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    good, broken = write(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    broken.write_bytes(b"not a network")
    cases: list[tuple[str, type[Exception], str]] = [
        (f"onnx:{tmp_path / 'none.onnx'}", ContractError, "does not exist"),
        (f"onnx:{broken}", ContractError, "expected an ONNX network"),
        (f"onnx:{write(tmp_path / 'c.onnx', inputs=2)}", ContractError, r"one input, the images, got image .*more0"),
        (
            f"onnx:{write(tmp_path / 'd.onnx', kind=TensorProto.INT32)}",
            ContractError,
            "of float, double, float16 or uint8",
        ),
        (f"onnx:{good},output=score", UnknownName, "'scores'"),
        (f"onnx:{good},answers=labels,top=2", ContractError, "leave them out"),
    ]
    for text, kind, says in cases:
        with pytest.raises(kind, match=says) as caught:
            vb.models.load(text)
        assert "\n" not in str(caught.value)
    with pytest.raises(ContractError, match=r"a.onnx: expected images \(1, 4, 4\), got \(3, 4, 4\)"):
        vb.models.load(f"onnx:{good}")(X.repeat(1, 3, 1, 1))

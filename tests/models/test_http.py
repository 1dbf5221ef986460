"""Networks behind an address: what is sent, how answers are read, what is tried again, and what is never said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.clocks import set_clock
from tests.models.served import Served, served

import vauban as vb
from vauban.core.errors import ContractError, ServiceFailed, VaubanError
from vauban.models import http_link, meter

X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
TOKEN = "hush-4f81d"


def scores(images: Any) -> Any:
    """Three scores of each image: its first pixels."""
    return np.asarray(images, dtype=np.float64).reshape(len(images), -1)[:, :3].tolist()


WANTED = X.flatten(1)[:, :3]


@pytest.fixture
def service() -> Iterator[Served]:
    with served(scores) as open_service:
        yield open_service


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that are slept, which are not."""
    slept: list[float] = []
    set_clock(monkeypatch, http_link, sleep=slept.append)
    return slept


@pytest.mark.parametrize("transport", ["float32", "png"])
def test_images_arrive_as_they_are(service: Served, transport: str) -> None:
    model = vb.models.load(f"{service.url}?v=a=b,transport={transport},images=2")
    torch.testing.assert_close(model(X), WANTED)
    sent = [images for _, images in service.requests]
    assert [len(images) for images in sent] == ([2, 2, 1] if transport == "float32" else [1] * 5)
    np.testing.assert_allclose(np.concatenate(sent), X.numpy(), atol=1e-7)
    assert model.meter.sent == 5


SHAPES: dict[str, tuple[Any, str]] = {
    "list": (lambda s: s, ""),
    "object": (lambda s: {"scores": s}, ""),
    "path": (lambda s: {"outputs": [{"data": s}]}, "field=outputs.0.data"),
    "pairs": (lambda s: {"scores": [[[c, v] for c, v in enumerate(row)][1:] for row in s]}, "top=2,classes=3"),
    "objects": (lambda s: {"scores": [{str(c): v for c, v in enumerate(row) if c} for row in s]}, "top=2,classes=3"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 5])
def test_answers_are_read(service: Served, shape: str, n: int) -> None:
    wrap, words = SHAPES[shape]
    service.answer = lambda images: wrap(scores(images))
    wanted = WANTED[:n].clone()
    if "top" in words:  # class 0 is never told: one below the smallest that is
        wanted[:, 0] = wanted[:, 1:].amin(1) - 1
    torch.testing.assert_close(vb.models.load(f"{service.url},{words}" if words else service.url)(X[:n]), wanted)


def test_one_image_needs_no_list_around_it(service: Served) -> None:
    service.answer = lambda images: {"labels": 2}
    model = vb.models.load(f"{service.url},answers=labels,classes=3")
    assert model.grants == {"labels"}
    assert model(X[:1]).tolist() == [[0, 0, 1]]
    service.answer = lambda images: {"scores": scores(images)[0]}
    torch.testing.assert_close(vb.models.load(service.url)(X[:1]), WANTED[:1])


SECRET_BODY = json.dumps({TOKEN: TOKEN}).encode()
MISTAKES: dict[str, tuple[str, Any, str]] = {
    "no JSON": ("", b"<html>", "expected JSON"),
    "too few": ("", b"[[1, 2]]", "answers to 5 images"),
    "text": ("", b'{"scores": "' + TOKEN.encode() + b'"}', "answers to 5 images .* a text"),
    "words for numbers": ("", json.dumps([["1", "2"]] * 5).encode(), "scores of each image"),
    "nan": ("", b"[" + b",".join([b"[NaN, 1]"] * 5) + b"]", "finite scores"),
    "other key": ("", b'{"predictions": []}', "'scores' .*keys predictions; say where it is: field="),
    "labels": ("", b"[1, 2, 0, 1, 2]", "answers=labels"),
    "ragged": ("", b"[[1, 2], [1, 2, 3], [1, 2], [1, 2], [1, 2]]", "as many scores"),
    "label": ("answers=labels,classes=3", b"[1, 2, 7, 0, 0]", "classes from 0 to 2 .* got 7"),
    "beyond a float": ("", json.dumps([[10**400, 0]] * 5).encode(), "scores of each image"),
    "half told": ("", json.dumps([[[0, 0.5], [1, 0.2]]] * 5).encode(), "say top=K and classes=N"),
    "not probabilities": ("answers=probabilities", b"[" + b",".join([b"[3, -1]"] * 5) + b"]", "answers=scores"),
    "401": ("", (401, SECRET_BODY, {}), "401 Unauthorized; .*token=env:NAME"),
    "302": ("", (302, SECRET_BODY, {"Location": "http://other/"}), "name the address"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_no_answer_is_said_in_one_line(service: Served, case: str, naps: list[float]) -> None:
    words, reply, says = MISTAKES[case]
    service.replies = [reply if isinstance(reply, tuple) else (200, reply, {})]
    with pytest.raises((ServiceFailed, ContractError), match=says) as caught:
        vb.models.load(f"{service.url},{words}" if words else service.url)(X)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(service.requests) == 1
    assert not naps


def test_a_service_that_changes_its_number_of_classes_is_another_network(service: Served) -> None:
    model = vb.models.load(f"{service.url},images=1")
    assert model(X).shape == (5, 3)
    service.answer = lambda images: [row[:2] for row in scores(images)]
    with pytest.raises(
        ContractError, match=r"expected 3 classes .* as it answered before, got 2: it is another network"
    ):
        model(X)
    assert vb.models.load(service.url)(X).shape == (5, 2)


def test_a_busy_service_is_asked_again(service: Served, naps: list[float]) -> None:
    service.replies = [(503, b"", {}), (429, b"", {"Retry-After": "7"}), (500, b"", {})]
    model = vb.models.load(service.url)
    torch.testing.assert_close(model(X), WANTED)
    assert naps == [0.5, 7.0, 2.0]
    assert model.meter.sent == service.images == 20  # every try is counted
    service.replies = [(503, b"", {})] * 3
    with pytest.raises(ServiceFailed, match="503 Service Unavailable after 3 tries"):
        vb.models.load(f"{service.url},retries=2")(X)
    service.replies = [(429, b"", {"Retry-After": "3600"})]
    with pytest.raises(ServiceFailed, match="again in 3600 s"):
        model(X)


def test_a_service_that_drips_its_answer_runs_out_of_time(service: Served) -> None:
    service.pause = 0.05
    with pytest.raises(ServiceFailed, match=r"none in 0\.2 s after 1 try"):
        vb.models.load(f"{service.url},timeout=0.2,retries=0")(X)
    service.pause = 0.0
    torch.testing.assert_close(vb.models.load(f"{service.url},timeout=0.2,retries=0")(X), WANTED)


def test_a_service_that_drips_its_headers_runs_out_of_time_and_is_asked_again(
    service: Served, naps: list[float]
) -> None:
    headers = {f"X-{i}": "a" for i in range(20)}
    content = json.dumps(scores(X)).encode()
    service.header_pause = 0.1
    service.replies = [(200, content, headers)] * 2
    start = time.monotonic()
    with pytest.raises(ServiceFailed, match=r"none in 0\.3 s after 2 tries"):
        vb.models.load(f"{service.url},timeout=0.3,retries=1")(X)
    assert time.monotonic() - start < 1.5  # all of one answer takes 2 s and more
    assert naps[:1] == [0.5]
    service.header_pause = 0.0
    model = vb.models.load(f"{service.url},timeout=0.3,retries=0")
    torch.testing.assert_close(model(X), WANTED)


def test_the_headers_and_the_content_share_the_time_and_connections_are_used_again(service: Served) -> None:
    model = vb.models.load(f"{service.url},timeout=0.6,retries=0")
    for _ in range(3):
        torch.testing.assert_close(model(X), WANTED)
    assert service.connections == 1
    service.header_pause, service.pause = 0.4, 0.04  # in time alone, as the content's 11 bytes are, but not together
    service.replies = [(200, b"[[1, 2, 3]]", {})]
    with pytest.raises(ServiceFailed, match=r"none in 0\.6 s after 1 try"):
        model(X[:1])


def test_an_address_where_nobody_is(naps: list[float]) -> None:
    with served(scores) as gone:
        pass
    model = vb.models.load(f"{gone.url},retries=1")
    with pytest.raises(ServiceFailed, match="no connection after 2 tries"):
        model(X)
    assert model.meter.sent == 0  # nothing was sent


def test_images_are_sent_at_a_rate(service: Served, naps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, meter, now=lambda: 100.0)
    vb.models.load(f"{service.url},rate=4,images=2")(X)
    assert naps == [0.0, 0.5, 1.0]


def test_secrets_come_from_the_environment_and_stay_there(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUSH", TOKEN)
    model = vb.models.load(f"{service.url},token=env:HUSH,headers=[X-Team=env:HUSH]")
    model(X[:1])
    headers, _ = service.requests[0]
    assert (headers["Authorization"], headers["X-Team"]) == (f"Bearer {TOKEN}", TOKEN)
    assert TOKEN not in f"{model!r}{model.fn!r}{vars(model)}{model.fn.link.headers}"
    monkeypatch.setenv("HUSH", f"{TOKEN}\nX-Evil: 1")
    with pytest.raises(ContractError, match="HUSH, which does not hold printable ASCII") as caught:
        model(X[:1])
    assert TOKEN not in str(caught.value)


REFUSED = {
    "http://": "expected url as an address",
    "http://host:port/a": "expected url as an address",
    f"http://me:{TOKEN}@host/": "without user and password",
    f"http://host/?api_key={TOKEN}": "api_key=..., which every row would hold",
    f"http://host/,token={TOKEN}": "the token as env:NAME",
    "http://host/,token=env:NOT_THERE": "NOT_THERE, which is not set",
    f"http://host/,headers=[X-Key={TOKEN}]": "the header X-Key as env:NAME",
    f"http://host/,headers=[{TOKEN}]": "NAME=env:VARIABLE",
    "http://host/,answers=labels": "number of classes beside labels",
    "http://host/,answers=labels,classes=3,digits=2": "leave them out",
    "http://host/,top=2": "number of classes beside the 2 largest",
    "http://host/,top=1,classes=3": "top=2 or more",
    "http://host/,top=3,classes=3,answers=probabilities": "below the 3 classes",
    "http://host/,timeout=0": "timeout",
    "http://host/,timeout=1e300": "timeout .* at most 86400",
    "http://host/,rate=1e-300": "rate",
    "http://host/,transport=jpeg": "transport",
    "http://host/,weigths=a": "weigths",
}


@pytest.mark.parametrize("text", REFUSED)
def test_mistakes_are_one_line_before_anything_is_asked(text: str) -> None:
    with pytest.raises(VaubanError, match=REFUSED[text]) as caught:
        vb.models.load(text)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_what_only_answers_cannot_be_trained() -> None:
    with pytest.raises(ContractError, match="which only answers"):
        vb.models.build("http://host/predict")

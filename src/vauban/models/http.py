"""Networks behind an address: `http://host/predict`, `https://host/predict,answers=labels,classes=10,token=env:NAME`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import torch

from vauban.core.errors import ContractError, ServiceFailed
from vauban.core.parameters import Count, Range, Whole
from vauban.core.pictures import pictured, png
from vauban.models import registry
from vauban.models.answers import Answers, Classes, Kind
from vauban.models.black_box import BlackBox
from vauban.models.http_answer import check_told, read_answer
from vauban.models.http_link import Link, variable_of
from vauban.models.meter import Meter

Transport = Literal["float32", "png"]
Seconds = Annotated[float, Range(0, 86_400, open_low=True)]
"""A time to wait, of a day at most."""
Rate = Annotated[float, Range(1e-4)]
"""Images a second, of which one takes a few hours at most."""
SECRETS = frozenset(
    {"access_token", "api_key", "apikey", "code", "key", "password", "secret", "sig", "signature", "token"}
)
"""Names of parameters of an address that hold secrets, which addresses must not."""


@dataclasses.dataclass(frozen=True)
class HttpService:
    """Service that answers images over HTTP. Its link is no part of its identity.

    Attributes:
        url: Where images are sent.
        transport: How: all of a request as raw float32, or each alone as a PNG.
        answers: What it tells.
        field: Where the answer is in its JSON.
        link: How it is reached.
    """

    url: str
    transport: Transport
    answers: Answers
    field: str = ""
    link: Link = dataclasses.field(repr=False, kw_only=True)

    @property
    def name(self) -> str:
        """The address without what follows the path."""
        return self.url.partition("?")[0]

    @property
    def meter(self) -> Meter:
        """The counter of its images."""
        return self.link.meter

    def __call__(self, images: Any) -> Any:
        """Scores or labels of images `(batch, ...)` float32. Raises ServiceFailed, QueriesSpent."""
        size = 1 if self.transport == "png" else self.link.images
        answers = [self._ask(images[at : at + size]) for at in range(0, len(images), size)]
        if len({answer.shape[1:] for answer in answers}) != 1:
            raise ServiceFailed(f"expected as many scores of each image from {self.name}, got different numbers")
        return np.concatenate(answers)

    def _ask(self, images: Any) -> Any:
        if self.transport == "png":
            if not pictured(images.shape[1:]):
                raise ContractError(
                    f"expected images (1 or 3, height, width) for transport=png, got {images.shape[1:]}; use "
                    "transport=float32"
                )
            body, headers = png(torch.from_numpy(images[0])), {"Content-Type": "image/png"}
        else:
            body = np.ascontiguousarray(images, dtype="<f4").tobytes()
            shape = ",".join(map(str, images.shape))
            headers = {"Content-Type": "application/octet-stream", "X-Shape": shape}
        content = self.link.post(self.url, self.name, body, headers, len(images))
        return read_answer(content, self.answers, self.field, len(images), self.name)


@registry.register("http", positional="url", weights="own", words={"headers": "texts"}, extra="http", queries=True)
def http(
    url: str,
    answers: Kind = "scores",
    classes: Classes | None = None,
    top: Count | None = None,
    digits: Whole | None = None,
    transport: Transport = "float32",
    field: str = "",
    token: str = "",
    headers: Sequence[str] = (),
    images: Count = 64,
    timeout: Seconds = 30.0,
    retries: Whole = 5,
    rate: Rate | None = None,
) -> BlackBox:
    """A network behind an address, which answers and has no gradient: `http://host/predict,answers=probabilities`.

    Images are sent by POST: with transport=float32 the bytes of `(batch, channel, height, width)`, little-endian, their
    shape in the header X-Shape; with transport=png each alone as a PNG of 8 bits. The answer is JSON, see
    `http_answer.read_answer`.

    Args:
        url: The address; what stands behind `http:` or `https:` up to the first comma.
        answers: scores, probabilities, or labels alone.
        classes: Number of classes; needed for labels and for top.
        top: The service tells that many of the largest scores; None: all.
        digits: Decimals to which they are rounded; None: not rounded.
        transport: float32 or png.
        field: Where the answer is in the JSON, `outputs.0.scores`; "": under `scores` or `labels`, or all of it.
        token: `env:NAME`, the variable that holds a token, sent as `Authorization: Bearer`.
        headers: `[NAME=env:VARIABLE]`, further headers.
        images: Images of a request at most; png has one.
        timeout: Seconds to wait for an answer.
        retries: Further tries where there is no connection, no answer or a status 408, 425, 429, 500, 502, 503 or 504,
            after 1/2, 1, 2, ... seconds or as long as Retry-After says.
        rate: Images a second at most, from all processes of a run; None: no limit.

    Raises:
        MissingExtra: urllib3 is not installed.
        ContractError: The address is none or holds a secret, a variable is not set, or what is told cannot be read.
    """
    told = Answers(answers, classes, top, digits)
    check_told(told)
    secrets = {"Authorization": ("Bearer ", variable_of("the token", token))} if token else {}
    link = Link({**secrets, **_headers(headers)}, images, timeout, retries, rate)
    return BlackBox(HttpService(_checked(url), transport, told, field, link=link), told, drifts=True)


def _headers(texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    read = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.replace("-", "").isalnum() or not name.isascii():
            raise ContractError("expected headers as [NAME=env:VARIABLE], got another text, which is not quoted")
        read[name] = ("", variable_of(f"the header {name}", value))
    return read


def _checked(url: str) -> str:
    """An address. Raises ContractError where it is none, or where a secret stands in it, without quoting that."""
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.username is not None or parts.password is not None:
        raise ContractError(
            "expected an address without user and password; headers=[Authorization=env:NAME] holds them"
        )
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise ContractError(
            f"expected url as an address such as http://localhost:8000/predict, got {url.partition('?')[0]!r}"
        )
    held = sorted(SECRETS & {key.lower() for key, _ in parse_qsl(parts.query, keep_blank_values=True)})
    if held:
        raise ContractError(
            f"expected an address without secrets, got one with {held[0]}=..., which every row would hold; send it as a "
            "header: token=env:NAME or headers=[NAME=env:VARIABLE]"
        )
    return url

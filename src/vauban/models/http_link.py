"""Link to a service: secrets from the environment, retries, waits and the rate at which images are sent."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

from vauban.core.errors import ContractError, ServiceFailed, check_installed, plural
from vauban.models.meter import Meter

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
FIRST, LONGEST = 0.5, 30.0  # seconds before the second try, doubled for each further one; at most
PATIENCE = 120.0  # seconds that a service may ask to wait
LARGEST = 2**26  # bytes of an answer
MEANT = {
    401: "; name the variable that holds the token, token=env:NAME",
    403: "; does the token allow this?",
    404: "; is the path right?",
    405: "; it takes images by POST",
    413: "; send fewer at a time, images=1",
}
"""What a status of a service usually means."""
ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


def variable_of(what: str, text: str) -> str:
    """The variable that `env:NAME` names, which is set and holds a header's value.

    Raises:
        ContractError: The text names none, or it is not set. Neither the text nor the value is quoted.
    """
    named = ENVIRONMENT.fullmatch(text)
    if named is None:
        raise ContractError(
            f"expected {what} as env:NAME, the variable that holds it, got another text; secrets are never words"
        )
    _value(what, named[1])
    return named[1]


def _value(what: str, name: str) -> str:
    """The value of a variable. Raises ContractError where it is not set or no header can hold it."""
    value = os.environ.get(name, "").strip()
    if not value or not value.isprintable() or not value.isascii():
        state = "does not hold printable ASCII" if value else "is not set"
        raise ContractError(f"expected {what} in the environment variable {name}, which {state}")
    return value


class Link:
    """How a service is reached. No part of what the network is: it has no `__dict__`, so that no identity holds it.

    Values of headers are read from the environment for each request, and kept nowhere.

    Attributes:
        headers: By the name of a header, the variable that holds its value, and what stands before it.
        images: Images of a request at most.
        timeout: Seconds from the start of a request to the end of its answer.
        retries: Further tries where a service is not ready.
        rate: Images a second at most, from all processes of a run; None: as many as there are.
        meter: Counts the images.
    """

    __slots__ = ("_pool", "headers", "images", "meter", "rate", "retries", "timeout")

    def __init__(
        self, headers: Mapping[str, tuple[str, str]], images: int, timeout: float, retries: int, rate: float | None
    ) -> None:
        check_installed("urllib3", "http", "a model behind http:// or https://")
        self.headers, self.images, self.timeout, self.retries, self.rate = dict(headers), images, timeout, retries, rate
        self.meter = Meter()
        self._pool: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Link:
        return self

    def post(self, url: str, name: str, body: bytes, headers: Mapping[str, str], images: int) -> bytes:
        """What a service answers to images; every try is counted.

        Args:
            url: Where they are sent.
            name: What messages call the service.
            body: What is sent.
            headers: Headers beside those of the link.
            images: Number of images in the body.

        Raises:
            ServiceFailed: It cannot be reached, or does not answer; the message quotes nothing of what it says.
            QueriesSpent: The run may not send so many images.
        """
        reason = ""
        for attempt in range(self.retries + 1):
            if self.rate is not None:
                time.sleep(self.meter.turn(name, images, self.rate))
            status, content, asked = self._try(url, body, headers, images)
            if 200 <= status < 300:
                return content
            reason = content.decode() if not status else _said(status)
            if status and status not in RETRIED:
                raise ServiceFailed(f"expected an answer of {name}, got {reason}{MEANT.get(status, '')}")
            wait = min(LONGEST, FIRST * 2**attempt) if asked is None else asked
            if wait > PATIENCE:
                raise ServiceFailed(f"expected an answer of {name}, got {reason}, to be asked again in {wait:.0f} s")
            if attempt < self.retries:
                time.sleep(wait)
        tries = plural(self.retries + 1, "try")
        raise ServiceFailed(
            f"expected an answer of {name}, got {reason} after {tries}; is it running, and is this its address?"
        )

    def _try(self, url: str, body: bytes, headers: Mapping[str, str], images: int) -> tuple[int, bytes, float | None]:
        """Status, content, and seconds that the service asks to wait; 0 and the reason where there is no answer."""
        import urllib3
        from urllib3 import exceptions

        if self._pool is None:
            self._pool = _pool()
        secrets = {key: before + _value(f"the header {key}", name) for key, (before, name) in self.headers.items()}
        self.meter.spend(images)
        try:
            response = self._pool.request(
                "POST",
                url,
                body=body,
                headers={**headers, **secrets},
                timeout=urllib3.Timeout(self.timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            content = _content(response)
            response.release_conn()
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError):
            self.meter.spend(-images)  # nothing was sent
            return 0, b"no connection", None
        except (exceptions.TimeoutError, TimeoutError):
            return 0, f"none in {self.timeout:g} s".encode(), None
        except (exceptions.HTTPError, OSError) as error:
            return 0, f"a failed connection ({type(error).__name__})".encode(), None
        if len(content) > LARGEST:
            raise ServiceFailed(f"expected scores or labels, got more than {LARGEST:,} bytes")
        return response.status, content, _wait(response.headers.get("Retry-After"))


class _Timed(RawIOBase):
    """What comes through a socket until a time, whose own timeout would begin again with each byte."""

    def __init__(self, raw: RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As `RawIOBase` has it. Raises TimeoutError where the time is over."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """An answer whose status, headers and content all come within the timeout that its socket has when it begins.

    That is what connecting and sending have left of the whole.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        left = sock.gettimeout()
        if left is not None:
            self.fp = BufferedReader(_Timed(self.fp.detach(), sock, time.monotonic() + left))


def _pool() -> Any:
    """A pool of connections that bound whole answers."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=1)
    kinds: dict[str, Any] = pool.pool_classes_by_scheme
    pool.pool_classes_by_scheme = {
        scheme: type(
            kind.__name__,
            (kind,),
            {"ConnectionCls": type(kind.ConnectionCls.__name__, (kind.ConnectionCls,), {"response_class": _Answer})},
        )
        for scheme, kind in kinds.items()
    }
    return pool


def _content(response: Any) -> bytes:
    """What a service sends, one byte more than the largest answer at most."""
    content = bytearray()
    while len(content) <= LARGEST and (part := response.read1(LARGEST + 1 - len(content))):
        content += part
    return bytes(content)


def _said(status: int) -> str:
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    moved = "; name the address that it redirects to" if 300 <= status < 400 else ""
    return f"status {status}{phrase}{moved}"


def _wait(asked: str | None) -> float | None:
    """Seconds of a header Retry-After: a number, or a date; None where there is none that can be read."""
    if asked is None:
        return None
    if asked.strip().isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (TypeError, ValueError):
        return None

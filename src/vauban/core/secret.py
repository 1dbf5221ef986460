"""Secret: a key of 256 bits that can be used and named, and not read."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError

BYTES = 32
HEAD = "vauban-key-1:"
"""What the text of a key begins with, in a file or a variable; 64 hexadecimal digits follow."""
BLOCK = 8192  # bytes of a stream that are made at a time


class Secret:
    """A key: 256 bits of which nothing is shown but the id, an HMAC of a fixed text.

    It prints, hashes and compares as its id. It cannot be pickled; a copy is the object itself. What it gives is one stream
    of random numbers for each use (HKDF with SHA-256, RFC 5869, then ChaCha20, RFC 8439), the same on every platform.
    """

    __slots__ = ("__key", "id")

    @named_arguments
    def __init__(self, key: bytes) -> None:
        """Args: key: 32 bytes. Raises ContractError for another number of them."""
        if not isinstance(key, bytes) or len(key) != BYTES:
            got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise ContractError(f"expected a key of {BYTES} bytes, got {got}; make one with vauban keys new FILE")
        self.__key = key
        self.id = hmac.new(key, b"vauban key id", sha256).hexdigest()[:16]

    @classmethod
    def new(cls) -> Secret:
        """A key from the system's generator."""
        return cls(secrets.token_bytes(BYTES))

    @classmethod
    def read(cls, path: Path) -> Secret:
        """The key of a file.

        Raises:
            ContractError: There is none, others may read it, or it holds no key.
        """
        try:
            mode = path.stat().st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                shown = f"{stat.S_IMODE(mode):04o}"
                raise ContractError(
                    f"expected a key that its owner alone may read, {path} has mode {shown}; chmod 600 it"
                )
            text = path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            raise ContractError(
                f"expected a key file, {path} does not exist; vauban keys new {path} makes it"
            ) from None
        except OSError as error:
            raise ContractError(f"expected a key file, {path} cannot be read: {error.strerror}") from None
        return cls._parsed(text, str(path))

    @classmethod
    def from_environment(cls, name: str) -> Secret:
        """The key of an environment variable. Raises ContractError where it is not set or holds no key."""
        text = os.environ.get(name)
        if text is None:
            raise ContractError(f"expected a key in the environment variable {name}, which is not set")
        return cls._parsed(text, f"the environment variable {name}")

    @classmethod
    def _parsed(cls, text: str, place: str) -> Secret:
        digits = text.strip().removeprefix(HEAD)
        good = text.strip().startswith(HEAD) and len(digits) == 2 * BYTES and not set(digits) - set("0123456789abcdef")
        if not good:  # the text is not quoted: it may be most of a key
            raise ContractError(
                f"expected {HEAD}, then {2 * BYTES} hexadecimal digits, in {place}, got something else; a key is made by "
                "vauban keys new FILE"
            )
        return cls(bytes.fromhex(digits))

    @classmethod
    def public(cls, number: int) -> Secret:
        """A key that everybody can make from a number: an attacker's own, or one for a trial."""
        return cls(sha256(b"vauban public key " + str(number).encode()).digest())

    def write(self, path: Path) -> None:
        """Write the key to a new file that its owner alone may read.

        Raises:
            ContractError: The file is there already, or cannot be written.
        """
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ContractError(f"expected a new file for a key, {path} is there; a key is never overwritten") from None
        except OSError as error:
            raise ContractError(f"{path} cannot be written: {error.strerror}") from None
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(f"{HEAD}{self.__key.hex()}\n")

    def words(self, use: str) -> Iterator[int]:
        """Independent random numbers of 64 bits, another sequence for each use."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(SHA256(), BYTES, None, b"vauban 1|" + use.encode()).derive(self.__key)
        stream = Cipher(algorithms.ChaCha20(derived, bytes(16)), None).encryptor()
        while True:
            block = stream.update(bytes(BLOCK))
            for start in range(0, BLOCK, 8):
                yield int.from_bytes(block[start : start + 8], "little")

    def permutation(self, n: int, use: str) -> Tensor:
        """A uniform permutation of 0, ..., n - 1, int64 `(n,)`: Fisher and Yates, every number without modulo bias."""
        order, drawn = list(range(n)), self.words(use)
        for last in range(n - 1, 0, -1):
            chosen = _below(last + 1, drawn)
            order[last], order[chosen] = order[chosen], order[last]
        return torch.tensor(order, dtype=torch.int64)

    def signs(self, n: int, use: str) -> Tensor:
        """Random signs, -1 or 1, int64 `(n,)`."""
        drawn = self.words(use)
        bits = [word >> bit & 1 for word in (next(drawn) for _ in range((n + 63) // 64)) for bit in range(64)]
        return torch.tensor(bits[:n], dtype=torch.int64) * 2 - 1

    def derived(self, use: str) -> Secret:
        """Another key that follows from this one and a use."""
        drawn = self.words(f"key|{use}")
        return Secret(b"".join(next(drawn).to_bytes(8, "little") for _ in range(BYTES // 8)))

    def __repr__(self) -> str:
        return f"key {self.id}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__key, other.__key)

    def __hash__(self) -> int:
        return hash(self.id)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise ContractError(
            "expected a key to travel as the name of its file or variable, got it pickled; keys never are"
        )


def _below(n: int, drawn: Iterator[int]) -> int:
    """A uniform number below n, from words of 64 bits: those of the last incomplete range are passed over."""
    most = 2**64 - 2**64 % n
    while (word := next(drawn)) >= most:
        pass
    return word % n

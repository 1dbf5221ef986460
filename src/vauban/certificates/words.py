"""Certificates by name: `smoothing:sigma=0.25,n=10000`, `ibp`, `file.py:name`."""

from __future__ import annotations

from typing import Any

from vauban.certificates import registry
from vauban.certificates.base import Certificate
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.norms import norm_by_name
from vauban.core.text import parse
from vauban.words.files import files_in, made
from vauban.words.named import Named, instance, resolved


@named_arguments
@exits_are_errors()
def load(word: str | Certificate, **params: Any) -> Certificate:
    """The certificate that a text names, or one, checked.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object is no certificate.
    """
    return certificate_of(word, **params).value


def certificate_of(word: Any, **params: Any) -> Named[Certificate]:
    """A certificate as `load` takes it, with its name."""
    if not isinstance(word, str):
        held = instance(word, "a certificate or its name", Certificate)
        return Named(type(held).__name__.lower(), held)
    spec = parse(word)
    given = {**spec.params, **params}
    if isinstance(given.get("norm"), str):
        given["norm"] = norm_by_name(given["norm"])
    if spec.file is not None:
        value = made(spec, lambda _: given)
    else:
        entry = registry.get(spec.name)
        value = entry.build("certificate", resolved(given, entry.words))
    if not isinstance(value, Certificate):
        raise ContractError(f"expected {word!r} to be a vauban.certificates.Certificate, got {type(value).__name__}")
    return Named(word, value, files_in(word))

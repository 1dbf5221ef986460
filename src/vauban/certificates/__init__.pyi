"""Types of `vauban.certificates`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.certificates.base import Bound as Bound
from vauban.certificates.base import Certificate as Certificate
from vauban.certificates.crown import CROWN as CROWN
from vauban.certificates.ibp import IBP as IBP
from vauban.certificates.smoothing import RandomisedSmoothing as RandomisedSmoothing
from vauban.certificates.words import load as load
from vauban.core.registry import Registry as Registry

registry: Registry[Any]

"""Types of `vauban.data`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.core.registry import Registry as Registry
from vauban.data.cifar10 import cifar10 as cifar10
from vauban.data.colours import colours as colours
from vauban.data.dataset import Dataset as Dataset
from vauban.data.digits import digits as digits
from vauban.data.folder import folder as folder
from vauban.data.folder import imagenet as imagenet
from vauban.data.hf import hf as hf
from vauban.data.location import DataLocation as DataLocation
from vauban.data.location import MissingData as MissingData
from vauban.data.mnist import fashion_mnist as fashion_mnist
from vauban.data.mnist import mnist as mnist
from vauban.data.nips2017 import nips2017 as nips2017
from vauban.data.torch_data import from_torch as from_torch
from vauban.data.toy import circles as circles
from vauban.data.toy import moons as moons
from vauban.words.data import load as load

registry: Registry[Any]

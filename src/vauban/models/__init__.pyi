"""Types of `vauban.models`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.core.registry import Registry as Registry
from vauban.models.adapters import hf as hf
from vauban.models.adapters import timm as timm
from vauban.models.adapters import torchvision as torchvision
from vauban.models.architecture import Architecture as Architecture
from vauban.models.black_box import BlackBox as BlackBox
from vauban.models.black_box import black_box as black_box
from vauban.models.digits import digits_cnn as digits_cnn
from vauban.models.efficient import efficient_cnn as efficient_cnn
from vauban.models.efficient import efficient_resnet as efficient_resnet
from vauban.models.http import http as http
from vauban.models.keyed import keyed_cw as keyed_cw
from vauban.models.keyed import keyed_fgsm as keyed_fgsm
from vauban.models.onnx import onnx as onnx
from vauban.models.preact_resnet import preact_resnet_18 as preact_resnet_18
from vauban.models.robustbench import robustbench as robustbench
from vauban.models.small import small_branched as small_branched
from vauban.models.small import small_dense as small_dense
from vauban.models.small import small_plain as small_plain
from vauban.models.small import small_residual as small_residual
from vauban.models.small import small_separable as small_separable
from vauban.models.squeezenet import squeezenet as squeezenet
from vauban.models.student import student as student
from vauban.models.thesis import cifar10_thesis as cifar10_thesis
from vauban.models.thesis import mnist_c4 as mnist_c4
from vauban.models.wrap import Bounded as Bounded
from vauban.models.wrap import Normalised as Normalised
from vauban.models.wrap import bounded as bounded
from vauban.models.wrap import wrap as wrap
from vauban.words.model import build as build
from vauban.words.model import load as load

registry: Registry[Any]

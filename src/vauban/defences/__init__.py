"""Defences: frozen parameters whose `wrap(module)` is a module that nobody can tell from an undefended one."""

from vauban.defences.base import Apply, Defence, InputDefence, NoiseDefence, Transformed, register, registry
from vauban.defences.compose import Chain, UserDefence, chain, load
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.gaussian_filter import GaussianFilter
from vauban.defences.inputs.gaussian_noise import GaussianNoise
from vauban.defences.inputs.jpeg import JPEG, DifferentiableJPEG
from vauban.defences.inputs.mean_filter import MeanFilter
from vauban.defences.inputs.median_filter import MedianFilter
from vauban.defences.inputs.sign_noise import SignNoise
from vauban.defences.inputs.uniform_noise import UniformNoise

__all__ = [
    "JPEG",
    "Apply",
    "BitDepth",
    "Chain",
    "Defence",
    "DifferentiableJPEG",
    "GaussianFilter",
    "GaussianNoise",
    "InputDefence",
    "MeanFilter",
    "MedianFilter",
    "NoiseDefence",
    "SignNoise",
    "Transformed",
    "UniformNoise",
    "UserDefence",
    "chain",
    "load",
    "register",
    "registry",
]

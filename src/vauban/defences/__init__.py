"""Defences: frozen parameters whose `wrap(module)` is a module that nobody can tell from an undefended one."""

from vauban.defences.base import Apply, Defence, InputDefence, NoiseDefence, Transformed, register, registry
from vauban.defences.compose import Chain, UserDefence, chain, load
from vauban.defences.inputs.bilateral import Bilateral
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.diagonal_filter import DiagonalFilter
from vauban.defences.inputs.gaussian_filter import GaussianFilter
from vauban.defences.inputs.gaussian_noise import GaussianNoise
from vauban.defences.inputs.jpeg import JPEG, DifferentiableJPEG
from vauban.defences.inputs.jpeg_approximation import JPEGApproximation
from vauban.defences.inputs.mean_filter import MeanFilter
from vauban.defences.inputs.median_filter import MedianFilter
from vauban.defences.inputs.random_jpeg import RandomJPEG
from vauban.defences.inputs.sign_noise import SignNoise
from vauban.defences.inputs.uniform_noise import UniformNoise
from vauban.defences.voting import Voting, vote

__all__ = [
    "JPEG",
    "Apply",
    "Bilateral",
    "BitDepth",
    "Chain",
    "Defence",
    "DiagonalFilter",
    "DifferentiableJPEG",
    "GaussianFilter",
    "GaussianNoise",
    "InputDefence",
    "JPEGApproximation",
    "MeanFilter",
    "MedianFilter",
    "NoiseDefence",
    "RandomJPEG",
    "SignNoise",
    "Transformed",
    "UniformNoise",
    "UserDefence",
    "Voting",
    "chain",
    "load",
    "register",
    "registry",
    "vote",
]

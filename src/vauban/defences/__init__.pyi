"""Types of `vauban.defences`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.core.registry import Registry as Registry
from vauban.defences.architecture.activation_pruning import StochasticActivationPruning as StochasticActivationPruning
from vauban.defences.autoencoders.autoencoder import AutoEncoder as AutoEncoder
from vauban.defences.autoencoders.autoencoder import FitAutoEncoder as FitAutoEncoder
from vauban.defences.autoencoders.s2snet import FitS2SNet as FitS2SNet
from vauban.defences.autoencoders.s2snet import S2SNet as S2SNet
from vauban.defences.base import Apply as Apply
from vauban.defences.base import Defence as Defence
from vauban.defences.base import InputDefence as InputDefence
from vauban.defences.base import NoiseDefence as NoiseDefence
from vauban.defences.base import Transformed as Transformed
from vauban.defences.base import register as register
from vauban.defences.compose import Chain as Chain
from vauban.defences.compose import UserDefence as UserDefence
from vauban.defences.compose import chain as chain
from vauban.defences.detectors.agreement import Agreement as Agreement
from vauban.defences.detectors.agreement import FitAgreement as FitAgreement
from vauban.defences.detectors.base import Detector as Detector
from vauban.defences.detectors.calibration import DetectorFitter as DetectorFitter
from vauban.defences.detectors.dropout_uncertainty import DropoutUncertainty as DropoutUncertainty
from vauban.defences.detectors.dropout_uncertainty import FitDropoutUncertainty as FitDropoutUncertainty
from vauban.defences.detectors.feature_squeezing import FeatureSqueezing as FeatureSqueezing
from vauban.defences.detectors.feature_squeezing import FitFeatureSqueezing as FitFeatureSqueezing
from vauban.defences.detectors.kernel_density import FitKernelDensity as FitKernelDensity
from vauban.defences.detectors.kernel_density import KernelDensity as KernelDensity
from vauban.defences.detectors.magnet import FitMagNet as FitMagNet
from vauban.defences.detectors.magnet import MagNet as MagNet
from vauban.defences.detectors.mahalanobis import FitMahalanobis as FitMahalanobis
from vauban.defences.detectors.mahalanobis import Mahalanobis as Mahalanobis
from vauban.defences.detectors.noise_reduction import AdaptiveNoiseReduction as AdaptiveNoiseReduction
from vauban.defences.detectors.noise_reduction import FitNoiseReduction as FitNoiseReduction
from vauban.defences.detectors.pca_whitening import FitPCAWhitening as FitPCAWhitening
from vauban.defences.detectors.pca_whitening import PCAWhitening as PCAWhitening
from vauban.defences.features.patch_fitter import FitPatches as FitPatches
from vauban.defences.features.patches import Patches as Patches
from vauban.defences.fitter import DefenceFit as DefenceFit
from vauban.defences.fitter import DefenceFitter as DefenceFitter
from vauban.defences.inputs.bilateral import Bilateral as Bilateral
from vauban.defences.inputs.bit_depth import BitDepth as BitDepth
from vauban.defences.inputs.crop_ensemble import CropEnsemble as CropEnsemble
from vauban.defences.inputs.diagonal_filter import DiagonalFilter as DiagonalFilter
from vauban.defences.inputs.gaussian_filter import GaussianFilter as GaussianFilter
from vauban.defences.inputs.gaussian_noise import GaussianNoise as GaussianNoise
from vauban.defences.inputs.jpeg import JPEG as JPEG
from vauban.defences.inputs.jpeg import DifferentiableJPEG as DifferentiableJPEG
from vauban.defences.inputs.jpeg_approximation import JPEGApproximation as JPEGApproximation
from vauban.defences.inputs.mean_filter import MeanFilter as MeanFilter
from vauban.defences.inputs.median_filter import MedianFilter as MedianFilter
from vauban.defences.inputs.non_local_means import NonLocalMeans as NonLocalMeans
from vauban.defences.inputs.pixel_deflection import PixelDeflection as PixelDeflection
from vauban.defences.inputs.quilting import FitQuilting as FitQuilting
from vauban.defences.inputs.quilting import Quilting as Quilting
from vauban.defences.inputs.random_jpeg import RandomJPEG as RandomJPEG
from vauban.defences.inputs.random_resize import RandomResize as RandomResize
from vauban.defences.inputs.sign_noise import SignNoise as SignNoise
from vauban.defences.inputs.sparse_reconstruction import FitSparseReconstruction as FitSparseReconstruction
from vauban.defences.inputs.sparse_reconstruction import SparseReconstruction as SparseReconstruction
from vauban.defences.inputs.total_variation import TotalVariation as TotalVariation
from vauban.defences.inputs.uniform_noise import UniformNoise as UniformNoise
from vauban.defences.keyed.base import KeyedDefence as KeyedDefence
from vauban.defences.keyed.blocks import BlockPermutation as BlockPermutation
from vauban.defences.keyed.channels import KeyedChannels as KeyedChannels
from vauban.defences.keyed.permutation import PixelPermutation as PixelPermutation
from vauban.defences.keyed.signs import KeyedSigns as KeyedSigns
from vauban.defences.keyed.substitution import PixelSubstitution as PixelSubstitution
from vauban.defences.voting import Voting as Voting
from vauban.defences.voting import vote as vote
from vauban.words.defence import load as load

fitters: Registry[Any]
registry: Registry[Any]

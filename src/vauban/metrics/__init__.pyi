"""Types of `vauban.metrics`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.core.registry import Registry as Registry
from vauban.metrics.base import Metric as Metric
from vauban.metrics.dissimilarity import dissimilarity as dissimilarity
from vauban.metrics.gradient_magnitude import gradient_magnitude as gradient_magnitude
from vauban.metrics.lpips import Perception as Perception
from vauban.metrics.lpips import lpips as lpips
from vauban.metrics.lpips import torchvision_lpips as torchvision_lpips
from vauban.metrics.mad import mad as mad
from vauban.metrics.magnify import magnify as magnify
from vauban.metrics.mutual_information import nmi as nmi
from vauban.metrics.of_network.base import MeasuredBatch as MeasuredBatch
from vauban.metrics.of_network.base import NetworkMetric as NetworkMetric
from vauban.metrics.of_network.empirical_robustness import EmpiricalRobustness as EmpiricalRobustness
from vauban.metrics.of_network.gradient_similarity import GradientSimilarity as GradientSimilarity
from vauban.metrics.of_network.input_information import InputInformation as InputInformation
from vauban.metrics.of_network.layer_distortion import LayerDistortion as LayerDistortion
from vauban.metrics.of_network.local_lipschitz import LocalLipschitz as LocalLipschitz
from vauban.metrics.of_network.loss_sensitivity import LossSensitivity as LossSensitivity
from vauban.metrics.of_network.prediction_entropy import PredictionEntropy as PredictionEntropy
from vauban.metrics.of_network.training_set_distance import TrainingSetDistance as TrainingSetDistance
from vauban.metrics.perceptual import psnr as psnr
from vauban.metrics.perceptual import ssim as ssim
from vauban.metrics.roughness import roughness as roughness
from vauban.metrics.sample import COLUMNS as COLUMNS
from vauban.metrics.sample import l0 as l0
from vauban.metrics.sample import l1 as l1
from vauban.metrics.sample import l2 as l2
from vauban.metrics.sample import linf as linf
from vauban.metrics.sample import measure as measure
from vauban.metrics.two_sample import Power as Power
from vauban.metrics.two_sample import TwoSampleTest as TwoSampleTest
from vauban.metrics.two_sample import two_sample_power as two_sample_power
from vauban.metrics.two_sample import two_sample_test as two_sample_test
from vauban.words.metric import load as load

network_registry: Registry[Any]
registry: Registry[Any]

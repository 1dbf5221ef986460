"""Types of `vauban.threats`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.core.registry import Registry as Registry
from vauban.threats.access import LabelsOnly as LabelsOnly
from vauban.threats.access import ScoresOnly as ScoresOnly
from vauban.threats.access import WhiteBox as WhiteBox
from vauban.threats.adaptive import Adaptive as Adaptive
from vauban.threats.adaptive import LeakedKey as LeakedKey
from vauban.threats.adaptive import members as members
from vauban.threats.adaptive import prescription as prescription
from vauban.threats.auto import Auto as Auto
from vauban.threats.base import Threat as Threat
from vauban.threats.base import refusal as refusal
from vauban.threats.chosen_inputs import ChosenInputs as ChosenInputs
from vauban.threats.chosen_inputs import LeakedActivation as LeakedActivation
from vauban.threats.distilled import Distilled as Distilled
from vauban.threats.fitter import NetworkFit as NetworkFit
from vauban.threats.fitter import NetworkFitter as NetworkFitter
from vauban.threats.input_transforms import Diverse as Diverse
from vauban.threats.input_transforms import Translated as Translated
from vauban.threats.keyed import Keyed as Keyed
from vauban.threats.objectives import Ensemble as Ensemble
from vauban.threats.objectives import Hybrid as Hybrid
from vauban.threats.objectives import Transfer as Transfer
from vauban.threats.substitute import FitSubstitute as FitSubstitute
from vauban.threats.substitute import Substitute as Substitute
from vauban.threats.surrogate import GrayBox as GrayBox
from vauban.threats.surrogate import Removed as Removed
from vauban.words.threat import load as load

registry: Registry[Any]
adaptive = Adaptive
auto = Auto
chosen_inputs = ChosenInputs
distilled = Distilled
ensemble = Ensemble
gray_box = GrayBox
hybrid = Hybrid
keyed = Keyed
labels_only = LabelsOnly
leaked_activation = LeakedActivation
leaked_key = LeakedKey
removed = Removed
scores_only = ScoresOnly
substitute = Substitute
transfer = Transfer
white_box = WhiteBox

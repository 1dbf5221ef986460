"""The networks of Table 5.5: trained against FGSM from scratch, against DDN and BP from the clean network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Scale
from vauban.reproduce.papers.thesis5.networks import C4, CLEAN, CLEAN_SCALES, NINE, OTHER, SMOKE
from vauban.training.adversarial_training import EpochAdversarial
from vauban.training.run import TrainingRun

REFERENCE: Mapping[str, Attack] = {"FGSM": FGSM(Linf(0.3)), "DDN": DDN(steps=20), "BP": BP(steps=20, retreat=False)}
FORGED = "3 epochs on a twelfth of the training images against DDN and BP in place of 30 on all"


def trained(scratch: TrainingRun, tuned: TrainingRun, minutes: tuple[float, float, float]) -> dict[str, TrainingRun]:
    """A network for each reference attack, its images forged anew after each epoch: FGSM from `scratch`, DDN and BP `tuned`
    from the clean network."""
    return {
        name: _against(attack, scratch if name == "FGSM" else replace(tuned, start="baseline"), spent)
        for (name, attack), spent in zip(REFERENCE.items(), minutes, strict=True)
    }


def _against(attack: Attack, run: TrainingRun, minutes: float) -> TrainingRun:
    """A run that trains on images of the attack too, from its first epoch where its network is trained already."""
    return replace(run, recipe=EpochAdversarial(attack, first=run.start is not None), minutes=minutes)


def smoke() -> Scale:
    """Every training of the table in one epoch of a few made-up images, at too slow a rate to change a label."""
    few = TrainingRun("small-plain", "colours/train:n=24", 1, lr=1e-6, optimiser="sgd", start="baseline", holdout=0)
    return replace(SMOKE, models={"baseline": OTHER}, recipes=trained(few, few, (0.1, 0.1, 0.1)))


def mnist() -> dict[str, Scale]:
    scales = CLEAN_SCALES["mnist"]
    few = trained(replace(C4, epochs=3), replace(C4, data="mnist/train[::12]", epochs=3), (4, 3, 3))
    printed = trained(replace(C4, batch=50, epochs=100), replace(C4, epochs=30), (110, 240, 240))
    note = f"C4, 3 epochs against FGSM; {FORGED}; every tenth test image; 8 eps for PGD2"
    return {
        "smoke": smoke(),
        "small": replace(scales["small"], recipes={"baseline": C4} | few, setting="stand-in", note=note),
        "paper": replace(scales["paper"], recipes={"baseline": C4} | printed),
    }


def cifar10() -> dict[str, Scale]:
    scales = CLEAN_SCALES["cifar10"]
    whole = TrainingRun("small-branched", "cifar10/train", 8, lr=3e-3, schedule="cosine", holdout=0)
    part = replace(whole, data="cifar10/train[::12]", epochs=3, optimiser="sgd", lr=1e-2)
    few = trained(whole, part, (9, 3, 3))
    printed = trained(NINE, replace(NINE, epochs=30, optimiser="sgd"), (15000, 17000, 17000))
    note = (
        "small-branched (0.2 million parameters, 8 epochs) on 500 CIFAR-10 test images in place of the 9-convolution "
        f"network; 8 epochs against FGSM; {FORGED}, momentum at a rate of 0.01; 8 eps for PGD2"
    )
    return {
        "smoke": smoke(),
        "small": replace(scales["small"], models={"baseline": CLEAN}, recipes=few, note=note),
        "paper": replace(scales["paper"], recipes={"baseline": NINE} | printed),
    }

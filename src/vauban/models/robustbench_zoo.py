"""RobustBench's model zoo: which network a published name stands for, and the mean and std in front of it.

Facts of https://github.com/RobustBench/robustbench (March 2025). Left out are names whose network is not here: ensembles,
transformers, networks found by search, and what a package registers for timm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from vauban.models.cifar_resnet import CifarResNet
from vauban.models.deepmind_resnet import SwishPreActResNet18, SwishWideResNet
from vauban.models.preact_resnet import PreActResNet18
from vauban.models.wide_resnet import WideResNet

Statistics = tuple[Sequence[float] | None, Sequence[float] | None]
NONE: Statistics = (None, None)
HALF: Statistics = ((0.5,) * 3, (0.5,) * 3)
CIFAR10: Statistics = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
ENGSTROM: Statistics = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
AUGUSTIN: Statistics = (
    (0.4913997551666284, 0.48215855929893703, 0.4465309133731618),
    (0.24703225141799082, 0.24348516474564, 0.26158783926049628),
)
RONY: Statistics = ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
CIFAR100: Statistics = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
CHEN100: Statistics = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
WU100: Statistics = (
    (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
    (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
)
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
THREATS = ("Linf", "L2", "corruptions")


@dataclass(frozen=True)
class ZooNetwork:
    """Network of a published checkpoint.

    Attributes:
        make: From `classes` to the untrained network.
        statistics: Mean and std in front of it, where the checkpoint does not hold its own.
        entry: Entry of the checkpoint that holds the tensors; "" for the whole or `state_dict`.
    """

    make: Callable[..., nn.Module]
    statistics: Statistics = field(default=NONE)
    entry: str = ""


def _torchvision(name: str, classes: int = 1000) -> nn.Module:
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    return network


def _wide(depth: int, widen: int, statistics: Statistics = NONE) -> ZooNetwork:
    return ZooNetwork(partial(WideResNet, depth, widen), statistics)


def _swish(depth: int, widen: int, statistics: Statistics = CIFAR10) -> ZooNetwork:
    return ZooNetwork(partial(SwishWideResNet, depth, widen), statistics)


def _preact(statistics: Statistics = CIFAR10, last_norm: bool = True, post: bool = True, entry: str = "") -> ZooNetwork:
    return ZooNetwork(partial(PreActResNet18, last_norm=last_norm, post=post), statistics, entry)


SWISH_18 = ZooNetwork(SwishPreActResNet18, CIFAR10)
SWISH_18_100 = ZooNetwork(SwishPreActResNet18, CIFAR100)
RESNET_18 = ZooNetwork(partial(CifarResNet, (2, 2, 2, 2)))
PRIME_18 = ZooNetwork(partial(CifarResNet, (2, 2, 2, 2)), HALF)
RESNET_50 = partial(CifarResNet, (3, 4, 6, 3), True)
IMAGENET_18 = ZooNetwork(partial(_torchvision, "resnet18"), IMAGENET)
IMAGENET_50 = ZooNetwork(partial(_torchvision, "resnet50"), IMAGENET)
IMAGENET_50_2 = ZooNetwork(partial(_torchvision, "wide_resnet50_2"), IMAGENET)


def _each(network: ZooNetwork, names: str) -> dict[str, ZooNetwork]:
    return dict.fromkeys(names.split(), network)


ZOO: dict[tuple[str, str], dict[str, ZooNetwork]] = {
    ("cifar10", "Linf"): {
        **_each(
            _wide(28, 10), "Standard Carmon2019Unlabeled Sehwag2020Hydra Wang2020Improving Wu2020Adversarial_extra"
        ),
        **_each(_wide(28, 10), "Zhang2020Geometry Sridhar2021Robust"),
        **_each(_wide(28, 10, HALF), "Hendrycks2019Using"),
        **_each(_wide(34, 10), "Zhang2019Theoretically Huang2020Self Zhang2019You Zhang2020Attacks Wu2020Adversarial"),
        **_each(
            _wide(34, 10), "Sehwag2021Proxy Sitawarin2020Improving Cui2020Learnable_34_10 Addepalli2021Towards_WRN34"
        ),
        **_each(_wide(34, 10), "Chen2021LTD_WRN34_10 Jia2022LAS-AT_34_10 Addepalli2022Efficient_WRN_34_10"),
        **_each(_wide(34, 10), "Cui2023Decoupled_WRN-34-10 Chen2024Data_WRN_34_10"),
        **_each(_wide(34, 10, CIFAR10), "Chen2020Efficient"),
        **_each(_wide(34, 15), "Sridhar2021Robust_34_15"),
        **_each(_wide(34, 20), "Cui2020Learnable_34_20 Chen2021LTD_WRN34_20 Chen2024Data_WRN_34_20"),
        **_each(_wide(34, 20, CIFAR10), "Rice2020Overfitting"),
        **_each(_wide(70, 16), "Jia2022LAS-AT_70_16"),
        **_each(
            _swish(28, 10), "Gowal2020Uncovering_28_10_extra Rebuffi2021Fixing_28_10_cutmix_ddpm Rade2021Helper_ddpm"
        ),
        **_each(
            _swish(28, 10), "Gowal2021Improving_28_10_ddpm_100m Pang2022Robustness_WRN28_10 Wang2023Better_WRN-28-10"
        ),
        **_each(_swish(28, 10), "Xu2023Exploring_WRN-28-10 Cui2023Decoupled_WRN-28-10"),
        **_each(_swish(34, 10), "Rade2021Helper_extra"),
        **_each(_swish(34, 20), "Gowal2020Uncovering_34_20"),
        **_each(
            _swish(70, 16), "Gowal2020Uncovering_70_16 Gowal2020Uncovering_70_16_extra Pang2022Robustness_WRN70_16"
        ),
        **_each(_swish(70, 16), "Rebuffi2021Fixing_70_16_cutmix_ddpm Rebuffi2021Fixing_70_16_cutmix_extra"),
        **_each(_swish(70, 16), "Gowal2021Improving_70_16_ddpm_100m Wang2023Better_WRN-70-16"),
        **_each(_swish(82, 8), "Bartoldson2024Adversarial_WRN-82-8"),
        **_each(_swish(94, 16), "Bartoldson2024Adversarial_WRN-94-16"),
        **_each(_swish(106, 16), "Rebuffi2021Fixing_106_16_cutmix_ddpm"),
        **_each(SWISH_18, "Rebuffi2021Fixing_R18_ddpm Rade2021Helper_R18_extra Rade2021Helper_R18_ddpm"),
        **_each(SWISH_18, "Gowal2021Improving_R18_ddpm_100m"),
        **_each(_preact(NONE, last_norm=False, post=False, entry="last"), "Andriushchenko2020Understanding"),
        **_each(_preact(last_norm=False, post=False), "Wong2020Fast"),
        **_each(RESNET_18, "Sehwag2021Proxy_R18 Addepalli2021Towards_RN18 Addepalli2022Efficient_RN18"),
        **_each(ZooNetwork(RESNET_50, ENGSTROM), "Engstrom2019Robustness"),
    },
    ("cifar10", "L2"): {
        **_each(_wide(28, 10), "Standard"),
        **_each(_wide(28, 10, RONY), "Rony2019Decoupling"),
        **_each(_wide(34, 10), "Wu2020Adversarial Sehwag2021Proxy"),
        **_each(_wide(34, 10, AUGUSTIN), "Augustin2020Adversarial_34_10 Augustin2020Adversarial_34_10_extra"),
        **_each(_swish(28, 10), "Rebuffi2021Fixing_28_10_cutmix_ddpm Wang2023Better_WRN-28-10"),
        **_each(_swish(70, 16), "Gowal2020Uncovering Gowal2020Uncovering_extra Rebuffi2021Fixing_70_16_cutmix_ddpm"),
        **_each(_swish(70, 16), "Rebuffi2021Fixing_70_16_cutmix_extra Wang2023Better_WRN-70-16"),
        **_each(SWISH_18, "Rebuffi2021Fixing_R18_cutmix_ddpm Rade2021Helper_R18_ddpm"),
        **_each(_preact(), "Rice2020Overfitting"),
        **_each(RESNET_18, "Sehwag2021Proxy_R18"),
        **_each(ZooNetwork(RESNET_50, ENGSTROM), "Engstrom2019Robustness"),
        **_each(ZooNetwork(RESNET_50, AUGUSTIN), "Augustin2020Adversarial"),
    },
    ("cifar10", "corruptions"): {
        **_each(_wide(28, 10), "Standard"),
        **_each(_wide(34, 10), "Addepalli2021Towards_WRN34 Addepalli2022Efficient_WRN_34_10"),
        **_each(_wide(40, 2, HALF), "Hendrycks2020AugMix_WRN"),
        **_each(_swish(70, 16), "Rebuffi2021Fixing_70_16_cutmix_extra_Linf Rebuffi2021Fixing_70_16_cutmix_extra_L2"),
        **_each(_preact(entry="last"), "Kireev2021Effectiveness_Gauss50percent Kireev2021Effectiveness_AugMixNoJSD"),
        **_each(_preact(entry="last"), "Kireev2021Effectiveness_RLAT Kireev2021Effectiveness_RLATAugMixNoJSD"),
        **_each(_preact(entry="last"), "Kireev2021Effectiveness_RLATAugMix"),
        **_each(PRIME_18, "Modas2021PRIMEResNet18"),
    },
    ("cifar100", "Linf"): {
        **_each(_wide(28, 10, HALF), "Hendrycks2019Using"),
        **_each(_wide(34, 10), "Cui2020Learnable_34_10_LBGAT0 Cui2020Learnable_34_10_LBGAT6 Sehwag2021Proxy"),
        **_each(
            _wide(34, 10), "Sitawarin2020Improving Addepalli2021Towards_WRN34 Chen2021LTD_WRN34_10 Jia2022LAS-AT_34_10"
        ),
        **_each(_wide(34, 10), "Addepalli2022Efficient_WRN_34_10 Cui2020Learnable_34_10_LBGAT9_eps_8_255"),
        **_each(_wide(34, 10), "Cui2023Decoupled_WRN-34-10 Cui2023Decoupled_WRN-34-10_autoaug Chen2024Data_WRN_34_10"),
        **_each(_wide(34, 10, CHEN100), "Chen2020Efficient"),
        **_each(_wide(34, 10, WU100), "Wu2020Adversarial"),
        **_each(_wide(34, 20), "Cui2020Learnable_34_20_LBGAT6 Jia2022LAS-AT_34_20"),
        **_each(_swish(28, 10, CIFAR100), "Rebuffi2021Fixing_28_10_cutmix_ddpm Pang2022Robustness_WRN28_10"),
        **_each(_swish(28, 10, CIFAR100), "Wang2023Better_WRN-28-10 Cui2023Decoupled_WRN-28-10"),
        **_each(_swish(70, 16, CIFAR100), "Gowal2020Uncovering Gowal2020Uncovering_extra Wang2023Better_WRN-70-16"),
        **_each(_swish(70, 16, CIFAR100), "Rebuffi2021Fixing_70_16_cutmix_ddpm Pang2022Robustness_WRN70_16"),
        **_each(SWISH_18_100, "Rebuffi2021Fixing_R18_ddpm Rade2021Helper_R18_ddpm"),
        **_each(_preact(WU100), "Rice2020Overfitting"),
        **_each(_preact(NONE), "Addepalli2021Towards_PARN18"),
        **_each(RESNET_18, "Addepalli2022Efficient_RN18"),
    },
    ("cifar100", "corruptions"): {
        **_each(_wide(34, 10), "Addepalli2021Towards_WRN34 Addepalli2022Efficient_WRN_34_10"),
        **_each(_wide(40, 2, HALF), "Hendrycks2020AugMix_WRN"),
        **_each(_swish(70, 16, CIFAR100), "Gowal2020Uncovering_Linf Gowal2020Uncovering_extra_Linf"),
        **_each(_preact(NONE), "Addepalli2021Towards_PARN18"),
        **_each(PRIME_18, "Modas2021PRIMEResNet18"),
    },
    ("imagenet", "Linf"): {
        **_each(IMAGENET_18, "Salman2020Do_R18"),
        **_each(IMAGENET_50, "Wong2020Fast Engstrom2019Robustness Salman2020Do_R50"),
        **_each(IMAGENET_50_2, "Salman2020Do_50_2"),
        **_each(ZooNetwork(partial(_torchvision, "wide_resnet50_2")), "Chen2024Data_WRN_50_2"),
    },
    ("imagenet", "corruptions"): {
        **_each(IMAGENET_50, "Erichson2022NoisyMix Erichson2022NoisyMix_new Geirhos2018_SIN Geirhos2018_SIN_IN"),
        **_each(IMAGENET_50, "Geirhos2018_SIN_IN_IN Hendrycks2020Many Hendrycks2020AugMix"),
        **_each(IMAGENET_50_2, "Salman2020Do_50_2_Linf"),
    },
}
"""Networks by data set and threat, as RobustBench's folders are named, and by name."""

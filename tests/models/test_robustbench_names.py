"""RobustBench checkpoints by name: files in its layouts, made here, against the networks written out by their tensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban import models
from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.core.rng import seeded
from vauban.models import robustbench_zoo as zoo
from vauban.models.cifar_resnet import CifarResNet
from vauban.models.deepmind_resnet import SwishPreActResNet18, SwishWideResNet
from vauban.models.preact_resnet import PreActResNet18
from vauban.models.wide_resnet import WideResNet
from vauban.models.wrap import Normalised

State = dict[str, Tensor]
X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def filled(net: nn.Module) -> State:
    """The tensors of a network, none of which is at a value that another place would forgive."""
    with seeded("tests", "zoo"):
        return {
            k: torch.rand(v.shape) + 0.5 if "running_var" in k else torch.randn(v.shape) * (0.3 if v.dim() > 1 else 0.5)
            for k, v in net.state_dict().items()
            if "num_batches" not in k
        }


def put(state: object, *place: str, folder: Path) -> Path:
    path = folder.joinpath(*place)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def conv(s: State, name: str, x: Tensor, stride: int = 1, pad: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
    return F.conv2d(F.pad(x, pad), s[f"{name}.weight"], stride=stride)


def norm(s: State, n: str, x: Tensor) -> Tensor:
    return F.batch_norm(x, s[f"{n}.running_mean"], s[f"{n}.running_var"], s[f"{n}.weight"], s[f"{n}.bias"])


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return x.mean((2, 3)) @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def by_hand_swish_wide(s: State, x: Tensor) -> Tensor:
    x = conv(s, "init_conv", x, 1, (1, 1, 1, 1))
    for group, stride in enumerate((1, 2, 2)):
        b = f"layer.{group}.block.0."
        z = swish(norm(s, b + "batchnorm_0", x))
        y = conv(s, b + "conv_0", z, stride, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
        y = conv(s, b + "conv_1", swish(norm(s, b + "batchnorm_1", y)), 1, (1, 1, 1, 1))
        x = y + (conv(s, b + "shortcut", z, stride) if b + "shortcut.weight" in s else x)
    return linear(s, "logits", swish(norm(s, "batchnorm", x)))


def by_hand_swish_preact(s: State, x: Tensor) -> Tensor:
    x = conv(s, "conv_2d", x, 1, (1, 1, 1, 1))
    for layer in range(4):
        for block in range(2):
            b, stride = f"layer_{layer}.{block}.", 2 if layer and not block else 1
            pad = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
            y = conv(s, b + "conv_2d_1", swish(norm(s, b + "batchnorm_0", x)), stride, pad)
            y = conv(s, b + "conv_2d_2", swish(norm(s, b + "batchnorm_1", y)), 1, (1, 1, 1, 1))
            x = y + (conv(s, b + "shortcut", x, stride, pad) if b + "shortcut.weight" in s else x)
    return linear(s, "logits", swish(norm(s, "batchnorm", x)))


def by_hand_resnet(s: State, x: Tensor, blocks: int = 2, deep: bool = False) -> Tensor:
    x = F.relu(norm(s, "bn1", conv(s, "conv1", x, 1, (1, 1, 1, 1))))
    for layer in range(1, 5):
        for block in range(blocks):
            b, stride = f"layer{layer}.{block}.", 2 if layer > 1 and not block else 1
            one, three = (0, 0, 0, 0), (1, 1, 1, 1)
            shapes = (
                [("1", 1, one), ("2", stride, three), ("3", 1, one)]
                if deep
                else [("1", stride, three), ("2", 1, three)]
            )
            y = x
            for i, (k, step, pad) in enumerate(shapes):
                y = norm(s, f"{b}bn{k}", conv(s, f"{b}conv{k}", y, step, pad))
                y = F.relu(y) if i + 1 < len(shapes) else y
            short = conv(s, b + "shortcut.0", x, stride) if b + "shortcut.0.weight" in s else None
            x = F.relu(y + (x if short is None else norm(s, b + "shortcut.1", short)))
    return linear(s, "linear", x)


@pytest.mark.parametrize(
    ("net", "by_hand"),
    [
        (SwishWideResNet(10, 1, 10), by_hand_swish_wide),
        (SwishPreActResNet18(10, width=1 / 16), by_hand_swish_preact),
        (CifarResNet((2, 2, 2, 2), width=1 / 16), by_hand_resnet),
        (CifarResNet((1, 1, 1, 1), True, width=1 / 16), partial(by_hand_resnet, blocks=1, deep=True)),
    ],
)
def test_networks_are_those_of_their_tensors(net, by_hand) -> None:  # type: ignore[no-untyped-def]
    state = filled(net)
    net.load_state_dict(state, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(X), by_hand(state, X), rtol=1e-4, atol=1e-4)


def test_parameter_counts_are_those_of_the_literature() -> None:
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in net.parameters())
            for net in (
                SwishWideResNet(28, 10),
                SwishWideResNet(70, 16),
                CifarResNet((2, 2, 2, 2)),
                CifarResNet((3, 4, 6, 3), True),
            )
        ]
    assert counts == [36479194, 266796506, 11173962, 23520842]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zoo with narrow networks in the places of some names."""
    linf = zoo.ZOO["cifar10", "Linf"]
    wide, swish_wide = partial(WideResNet, 10, 1), partial(SwishWideResNet, 10, 1)
    for name, make in {
        "Carmon2019Unlabeled": wide,
        "Chen2020Efficient": wide,
        "Rebuffi2021Fixing_28_10_cutmix_ddpm": swish_wide,
        "Andriushchenko2020Understanding": partial(PreActResNet18, width=1 / 16),
    }.items():
        monkeypatch.setitem(linf, name, zoo.ZooNetwork(make, linf[name].statistics, linf[name].entry))


def same(loaded: nn.Module, net: nn.Module, mean: Tensor, std: Tensor) -> None:
    assert isinstance(loaded, Normalised)
    with torch.no_grad():
        expected = net.eval()((X - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        torch.testing.assert_close(loaded.eval()(X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("small")
def test_names_are_found_in_the_layouts_of_the_folder(tmp_path: Path) -> None:
    zero, one = torch.zeros(3), torch.ones(3)
    wide, swish_wide, preact = WideResNet(10, 1), SwishWideResNet(10, 1), PreActResNet18(width=1 / 16)
    unused = {f"sub_block1.{k}": v for k, v in wide.block1.state_dict().items()}
    for net in (wide, swish_wide, preact):
        net.load_state_dict(filled(net), strict=False)
    held = {f"module.{k}": v for k, v in {**wide.state_dict(), **unused}.items()}
    put({"state_dict": held, "epoch": 7}, "cifar10", "Linf", "Carmon2019Unlabeled.pt", folder=tmp_path)
    same(models.load(f"robustbench:name=Carmon2019Unlabeled,folder={tmp_path},threat=linf"), wide, zero, one)
    same(models.load(f"robustbench:Carmon2019Unlabeled,folder={tmp_path}"), wide, zero, one)

    old = {k: v for k, v in swish_wide.state_dict().items() if "num_batches" not in k}  # as torch wrote before 0.4.1
    put(old, "Rebuffi2021Fixing_28_10_cutmix_ddpm.pt", folder=tmp_path)
    mean, std = map(torch.tensor, zoo.CIFAR10)
    same(models.load(f"robustbench:name=Rebuffi2021Fixing_28_10_cutmix_ddpm,folder={tmp_path}"), swish_wide, mean, std)

    own = {"mu": torch.rand(1, 3, 1, 1), "sigma": torch.rand(1, 3, 1, 1) + 0.1}
    mixed = {**{f"model.{k}": v for k, v in wide.state_dict().items()}, **own}  # the prefix on some names only
    put({"state_dict": mixed}, "Linf", "Chen2020Efficient.pt", folder=tmp_path)
    same(models.load(f"robustbench:name=Chen2020Efficient,folder={tmp_path}"), wide, own["mu"], own["sigma"])

    both = {"last": {**preact.state_dict(), "model_preact_hl1.1.weight": one}, "best": PreActResNet18().state_dict()}
    put(both, "Andriushchenko2020Understanding.pt", folder=tmp_path)
    same(models.load(f"robustbench:name=Andriushchenko2020Understanding,folder={tmp_path}"), preact, zero, one)


def test_imagenet_networks_are_torchvisions(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    net = resnet18(weights=None).eval()
    put({f"module.model.{k}": v for k, v in net.state_dict().items()}, "Salman2020Do_R18.pt", folder=tmp_path)
    loaded = models.load(f"robustbench:name=Salman2020Do_R18,folder={tmp_path},data=imagenet")
    same(loaded, net, *map(torch.tensor, zoo.IMAGENET))


def test_every_name_makes_a_network_of_its_classes() -> None:
    assert sum(map(len, zoo.ZOO.values())) > 120
    with torch.device("meta"):
        for (data, _), names in zoo.ZOO.items():
            for network in dict.fromkeys(names.values()):
                last = [m for m in network.make(classes=zoo.CLASSES[data]).modules() if isinstance(m, nn.Linear)][-1]
                assert last.out_features == zoo.CLASSES[data]


@pytest.mark.usefixtures("small")
def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    state = WideResNet(10, 1).state_dict()
    put(
        {k: v for k, v in state.items() if k != "fc.bias"} | {"extra": torch.ones(1)},
        "Carmon2019Unlabeled.pt",
        folder=tmp_path,
    )
    put({"state_dict": Path("an object")}, "Chen2020Efficient.pt", folder=tmp_path)
    word = f"robustbench:folder={tmp_path},name="
    for more, kind, says in [
        (
            "Carmon2019Unlabeled",
            ContractError,
            r"Carmon2019Unlabeled\.pt does not fit WideResNet: missing fc.bias; unexpected extra",
        ),
        ("Chen2020Efficient", ContractError, "holds pickled objects"),
        ("Carmon2019Unlabelled", UnknownName, "did you mean 'Carmon2019Unlabeled'"),
        (
            "Wang2020Improving",
            ContractError,
            r"cifar10/Linf/Wang2020Improving\.pt or .*Wang2020Improving\.pt, there is neither",
        ),
        ("Salman2020Do_R18", ContractError, "data=imagenet,threat=Linf"),
        ("Rony2019Decoupling", ContractError, "data=cifar10,threat=L2"),
        ("Carmon2019Unlabeled,threat=L3", UnknownName, "threat"),
        ("Carmon2019Unlabeled,data=svhn", UnknownName, "data set"),
        ("Carmon2019Unlabeled,arch=wrn-28-10", ContractError, "alone beside"),
    ]:
        with pytest.raises(kind, match=says) as caught:
            models.load(word + more)
        assert isinstance(caught.value, VaubanError)
        assert "\n" not in str(caught.value)
    with pytest.raises(ContractError, match="folder=DIR"):
        models.load("robustbench:Carmon2019Unlabeled")

"""RobustBench checkpoints: names of tensors as published, wrappers' prefixes, tensors only."""

import pytest
import torch
from torch import nn

from vauban import models
from vauban.core.errors import ContractError, UnknownName
from vauban.models.preact_resnet import PreActResNet18
from vauban.models.robustbench import clean_keys
from vauban.models.wide_resnet import WideResNet


def test_parameter_counts_are_those_of_the_literature():
    with torch.device("meta"):
        counts = {d: sum(p.numel() for p in WideResNet(d).parameters()) for d in (28, 34)}
        preact = sum(p.numel() for p in PreActResNet18(last_norm=True).parameters())
    assert counts == {28: 36479194, 34: 46160474}
    assert preact == 11172170


def test_names_and_forward_of_a_small_wide_resnet():
    net = WideResNet(10, 1, 10).eval()
    keys = set(net.state_dict())
    assert {"conv1.weight", "block1.layer.0.bn1.running_var", "block2.layer.0.convShortcut.weight", "fc.bias"} <= keys
    assert "block1.layer.0.convShortcut.weight" not in keys
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    block, x = net.block2.layer[0], torch.rand(2, 16, 8, 8)
    relu = nn.ReLU()
    first = relu(block.bn1(x))
    expected = block.conv2(relu(block.bn2(block.conv1(first)))) + block.convShortcut(first)
    torch.testing.assert_close(block(x), expected)
    same, x = net.block1.layer[0], torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(same(x), same.conv2(relu(same.bn2(same.conv1(relu(same.bn1(x)))))) + x)


def test_names_of_the_preact_resnet():
    plain, full = PreActResNet18().state_dict(), PreActResNet18(last_norm=True).state_dict()
    assert {"layer1.0.bn1.weight", "layer2.0.shortcut.0.weight", "layer4.1.conv2.weight", "linear.bias"} <= set(plain)
    assert {k for k in full if k not in plain} == {
        f"bn.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


@pytest.mark.parametrize("prefix", ["", "module.", "module.model.", "_orig_mod."])
def test_prefixes_and_unused_tensors_are_removed(prefix):
    state = {prefix + k: torch.zeros(1) for k in ("conv1.weight", "sub_block1.layer.0.bn1.weight", "fc.bias")}
    assert set(clean_keys(state)) == {"conv1.weight", "fc.bias"}


def test_a_checkpoint_loads_strictly(tmp_path):
    net = PreActResNet18(7, last_norm=True, post=True).eval()
    path = tmp_path / "net.pt"
    torch.save({"state_dict": {"module." + k: v for k, v in net.state_dict().items()}, "epoch": 1}, path)
    spec = f"robustbench:arch=preact-resnet-18,file={path},classes=7"
    loaded = models.load(f"{spec},last_norm=true,post=true,normalise=cifar10")
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), net((x - loaded.mean.view(1, 3, 1, 1)) / loaded.std.view(1, 3, 1, 1)))
    with pytest.raises(ContractError, match=r"net\.pt does not fit PreActResNet18: unexpected bn\.weight"):
        models.load(spec)
    with pytest.raises(UnknownName, match="wrn-28-10"):
        models.load(f"robustbench:arch=wrn-28,file={path}")
    with pytest.raises(UnknownName, match="cifar100"):
        models.load(f"{spec},normalise=cifar")
    with pytest.raises(ContractError, match=r"no\.pt does not exist"):
        models.load(f"robustbench:arch=wrn-28-10,file={tmp_path}/no.pt")
    with pytest.raises(ContractError, match="6 n \\+ 4"):
        WideResNet(27)


def test_the_architecture_may_stand_alone(tmp_path):
    torch.save(PreActResNet18(7).state_dict(), tmp_path / "w.pt")
    loaded = models.load(f"robustbench:preact-resnet-18,file={tmp_path}/w.pt,classes=7")
    assert loaded.module.linear.out_features == 7
    with pytest.raises(UnknownName, match=r"wrn-28-10.*file="):
        models.load("robustbench:Carmon2019")
    with pytest.raises(ContractError, match=r"file=CHECKPOINT\.pt"):
        models.load("robustbench:wrn-28-10")

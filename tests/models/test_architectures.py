"""The reference networks have the maps that the works print."""

import copy
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from vauban import models
from vauban.core.errors import ContractError, MissingExtra, UnknownName, VaubanError
from vauban.models.bounded_relu import BoundedReLU
from vauban.models.edits.brelu import BoundedActivations


def maps(model: nn.Module, *shape: int) -> list[tuple[int, ...]]:
    """Output shapes of the convolutions, pools and dense layers, in the order of the forward pass."""
    seen: list[tuple[int, ...]] = []
    kinds = (nn.Conv2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Linear)
    for part in model.modules():
        if isinstance(part, kinds):
            part.register_forward_hook(lambda m, a, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        model.eval()(torch.rand(2, *shape))
    return seen


@pytest.mark.parametrize("name", ["mnist-c4", "efficient-cnn", "keyed-fgsm"])
def test_three_convolutions(name):
    assert maps(models.build(name), 1, 28, 28) == [(64, 14, 14), (128, 5, 5), (128, 1, 1), (10,)]
    wide = maps(models.build(name, channels=3, size=32), 3, 32, 32)
    assert wide == [(64, 16, 16), (128, 6, 6), (128, 2, 2), (10,)]


def test_c4_has_leaky_relus_and_the_count_of_weights():
    model = models.build("mnist-c4")
    assert sum(isinstance(m, nn.LeakyReLU) for m in model.modules()) == 3
    assert (
        sum(p.numel() for p in model.parameters())
        == (64 * 64 + 64) + (128 * 64 * 36 + 128) + (128 * 128 * 25 + 128) + 1290
    )


def test_efficient_resnet():
    assert maps(models.build("efficient-resnet"), 1, 28, 28) == [
        (64, 14, 14),
        (128, 5, 5),
        (64, 5, 5),
        (64, 5, 5),
        (128, 5, 5),
        (10,),
    ]
    assert models.build("efficient-resnet").dense.in_features == 128
    model = models.build("efficient-resnet", channels=3, size=32)
    assert model.dense.in_features == 512
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_the_shortcut_is_added():
    model = models.build("efficient-resnet")
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        for p in (model.conv5.weight, model.conv5.bias):
            p.zero_()
        z = model.act2(model.conv2(model.act1(model.conv1(x))))
        expected = model.dense(z[:, :, :3, :3].amax((2, 3)))
    torch.testing.assert_close(model(x), expected)


def test_cifar10_thesis():
    assert maps(models.build("cifar10-thesis"), 3, 32, 32) == [
        *[(128, 32, 32)] * 3,
        (128, 16, 16),
        *[(256, 16, 16)] * 3,
        (256, 8, 8),
        (512, 6, 6),
        (256, 4, 4),
        (128, 2, 2),
        (128, 1, 1),
        (10,),
    ]
    model = models.build("cifar10-thesis")
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 9
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert {m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}
    last = model[0].weight
    assert float(last.detach().std()) == pytest.approx((2 / 27) ** 0.5, rel=0.05)


@pytest.mark.parametrize(("c1", "c2", "h"), [(32, 64, 200), (64, 128, 256)])
def test_keyed_cw(c1, c2, h):
    assert maps(models.build("keyed-cw", c1=c1, c2=c2, h=h), 1, 28, 28) == [
        (c1, 26, 26),
        (c1, 24, 24),
        (c1, 12, 12),
        (c2, 10, 10),
        (c2, 8, 8),
        (c2, 4, 4),
        (h,),
        (h,),
        (10,),
    ]


def test_activation_is_a_parameter_and_every_place_has_its_own():
    model = models.build("efficient-cnn:activation=brelu")
    found = [m for m in model.modules() if isinstance(m, nn.Hardtanh)]
    assert len({id(m) for m in found}) == 3
    assert found[0](torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0.0, 0.5, 1.0]
    assert any(isinstance(m, nn.GELU) for m in models.build("efficient-resnet", activation=nn.GELU).modules())
    with pytest.raises(UnknownName, match="leaky-relu"):
        models.build("mnist-c4:activation=leakyrelu")


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    a, b, c = (models.build("keyed-cw", seed=s)[0].weight for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("mnist-c4:size=27", "even side"),
        ("mnist-c4:size=8", "at least 28"),
        ("keyed-cw:size=12", "at least 16"),
        ("efficient-resnet:pool_stride=0", "pool_stride"),
    ],
)
def test_sizes_that_do_not_fit(spec, says):
    with pytest.raises(ContractError, match=says):
        models.build(spec)


def test_adapters_make_networks_with_their_normalisation():
    model = models.build("torchvision:name=squeezenet1_1")
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
    torch.testing.assert_close(model.mean, torch.tensor([0.485, 0.456, 0.406]))
    squeeze = models.build("squeezenet:classes=7").eval()
    x = torch.rand(1, 3, 64, 64)
    expected = squeeze.module(255 * x - torch.tensor([123.0, 117.0, 104.0]).view(1, 3, 1, 1))
    torch.testing.assert_close(squeeze(x), expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(UnknownName, match="resnet18"):
        models.build("torchvision:name=resnet19")
    with pytest.raises(ContractError, match="needs name"):
        models.build("torchvision")
    assert models.build("torchvision:squeezenet1_1,classes=3")(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert models.build("torchvision", name="squeezenet1_1", classes=3).module.num_classes == 3


def test_torchvision_brings_its_weights_unless_a_file_does(tmp_path, monkeypatch):
    import torchvision

    network, asked = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), []

    def get_model(name, weights, **settings):
        asked.append((name, weights is not None))
        return copy.deepcopy(network)

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    models.load("torchvision:resnet18")
    models.load("torchvision:name=resnet18")
    torch.save(network.state_dict(), tmp_path / "w.pt")
    models.load(f"torchvision:resnet18,weights={tmp_path}/w.pt")
    assert asked == [("resnet18", True), ("resnet18", True), ("resnet18", False)]
    for wrong in ("torchvision:=resnet18", "digits-cnn:resnet18", "torchvision:resnet18,resnet34"):
        with pytest.raises(VaubanError, match=r"expected|unknown"):
            models.load(wrong)


def test_timm_by_its_name_alone(monkeypatch):
    made = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    made.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    fake, asked = ModuleType("timm"), []
    fake.create_model = lambda name, pretrained, **more: asked.append((name, pretrained, more)) or made
    monkeypatch.setitem(sys.modules, "timm", fake)
    x = torch.rand(2, 3, 2, 2)
    torch.testing.assert_close(models.load("timm:resnet18.a1_in1k")(x), made((x - 0.5) / 0.25))
    models.build("timm:name=resnet18,classes=4")
    assert asked == [("resnet18.a1_in1k", True, {}), ("resnet18", False, {"num_classes": 4})]


def test_timm():
    pytest.importorskip("timm")
    assert models.build("timm:name=resnet10t,classes=5")(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    with pytest.raises(ContractError, match="resnet9000"):
        models.build("timm:name=resnet9000")


def test_hugging_face_folders(tmp_path, monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    asked = {}

    class Auto:
        @staticmethod
        def from_pretrained(folder, **settings):
            asked.update(settings, folder=folder)
            module = nn.Module()
            module.forward = lambda x: SimpleNamespace(logits=network(x))
            return module

    fake = ModuleType("transformers")
    fake.AutoModelForImageClassification = Auto
    monkeypatch.setitem(sys.modules, "transformers", fake)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3})
    )
    x = torch.rand(2, 3, 2, 2)
    expected = network((x - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / 0.5)
    torch.testing.assert_close(models.load(f"hf:path={tmp_path}")(x), expected)
    assert asked == {"folder": tmp_path, "local_files_only": True, "use_safetensors": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "image_mean": [0.1] * 3}))
    torch.testing.assert_close(models.load(f"hf:path={tmp_path}")(x), network(x))
    with pytest.raises(ContractError, match=r"config\.json"):
        models.load(f"hf:path={tmp_path}/no")

    class Processor:
        @staticmethod
        def from_pretrained(name):
            assert name == "microsoft/resnet-50"
            return SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.25] * 3)

    fake.AutoImageProcessor = Processor
    torch.testing.assert_close(models.load("hf:microsoft/resnet-50")(x), network((x - 0.5) / 0.25))
    assert asked["folder"] == "microsoft/resnet-50"
    monkeypatch.setattr(Processor, "from_pretrained", lambda name: (_ for _ in ()).throw(OSError("no network\nat all")))
    with pytest.raises(ContractError, match="hub: no network; download it") as caught:
        models.load("hf:microsoft/resnet-50")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "spec", "extra"), [("timm", "timm:name=resnet18", "models"), ("transformers", "hf", "hf")]
)
def test_missing_packages_say_how_to_install_them(tmp_path, monkeypatch, package, spec, extra):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingExtra, match=rf"pip install 'vauban\[{extra}\]'"):
        models.build(spec if ":" in spec else f"{spec}:path={tmp_path}")


def test_a_bounded_relu_takes_every_place_of_preact_resnet_18() -> None:
    network = models.build("preact-resnet-18", width=0.125, classes=7)
    edited = BoundedActivations(2.0).edit(network)
    assert sum(isinstance(part, nn.ReLU) for part in network.modules()) == 17
    assert sum(isinstance(part, BoundedReLU) for part in edited.modules()) == 17
    assert edited(torch.rand(2, 3, 32, 32)).shape == (2, 7)

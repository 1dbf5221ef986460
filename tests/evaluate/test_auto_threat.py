"""The automatic threat: what it sees of defences without a card, the ways it takes, and silence on sound networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, attacks, threats
from vauban.core.cards import Card
from vauban.core.contracts import Batch
from vauban.core.errors import NoGradient
from vauban.core.rng import Stream
from vauban.data.dataset import Dataset, InMemory
from vauban.evaluate.adaptation.calls import calls_of_submodules, classifiers
from vauban.evaluate.adaptation.modules import unsound_modules
from vauban.evaluate.adaptation.probes import AT_SCALE, OFF_THE_IMAGE, UNEXPLAINED
from vauban.evaluate.adaptation.responses import responses
from vauban.evaluate.adaptation.search import FAILED, UNKNOWN, look
from vauban.evaluate.adaptation.substitutes import SoftTopK, menu
from vauban.evaluate.audited_rows import SUSPICIOUS
from vauban.evaluate.study import Study
from vauban.store import load

BALL = Linf(0.1)
Digits = tuple[Tensor, Tensor]


class Front(nn.Module):
    """A network behind a function of the image and before one of its logits."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(self.before(x)))


class Rounding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 7).round() / 7


def seeded_by_the_image(x: Tensor) -> Tensor:
    noise = []
    for image in x.detach():
        seed = int(hashlib.sha256(image.numpy().tobytes()).hexdigest()[:8], 16)
        noise.append(torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)))
    return (x + 0.15 * torch.stack(noise)).clamp(0, 1)


def reversed_margin(z: Tensor) -> Tensor:
    top = z.topk(2, 1)
    lead = top.values[:, 0] - top.values[:, 1]
    turned = torch.floor(lead / 3) * 3 + 3 - lead % 3
    return z.scatter(1, top.indices[:, :1], (top.values[:, 1] + turned)[:, None])


def purified(network: nn.Module, x: Tensor) -> Tensor:
    z = x.detach().clone()
    for _ in range(2):
        with torch.enable_grad():
            z.requires_grad_(True)
            (g,) = torch.autograd.grad(network(z).softmax(1).square().sum(), z)
        z = (z + 0.01 * g.sign()).detach()
    return z


class Coarse(nn.Module):
    """Four grey levels: small moves change none of them."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 3).round() / 3


FRONTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "numpy": lambda net: Front(net, lambda x: torch.from_numpy((x.numpy() * 7).round() / 7)),
    "rounding": lambda net: Front(net, lambda x: (x * 7).round() / 7),
    "rounding module": lambda net: nn.Sequential(Rounding(), net),
    "comparison": lambda net: Front(net, lambda x: (x > 0.5).to(x.dtype)),
    "hard vote": lambda net: Front(net, after=lambda z: F.one_hot(z.argmax(1), 10).to(z.dtype)),
    "saturated": lambda net: Front(net, after=lambda z: (z * 1000).softmax(1)),
    "reversed margin": lambda net: Front(net, after=reversed_margin),
    "seeded by the image": lambda net: Front(net, seeded_by_the_image),
    "purified": lambda net: Front(net, lambda x: purified(net, x)),
    "resized by pixels": lambda net: Front(net, lambda x: F.interpolate(x.detach(), 8, mode="nearest")),
}


def batch(digits_test: Digits, n: int = 32) -> Batch:
    return Batch(digits_test[0][:n], digits_test[1][:n], torch.arange(n), 256)


@pytest.mark.parametrize("name", FRONTS)
def test_it_finds_a_way_without_a_card(name: str, digits_cnn: nn.Module, digits_test: Digits) -> None:
    """It leaves no more than the same attack on the bare network, or than the battery, which asks for scores and labels."""
    network = FRONTS[name](digits_cnn)
    given = batch(digits_test, 20)
    seen = look(network, given, BALL)
    assert seen.ways
    assert not seen.lost
    pgd, pair = attacks.PGD(BALL, steps=20, loss=vb.margin), (given.x, given.y)
    adapted = vb.attack(pgd, network, pair, threat=threats.auto())
    bare = vb.attack(pgd, digits_cnn, pair).robust_accuracy
    known = vb.attack(attacks.Standard(BALL, steps=10, blind_queries=200), network, pair).robust_accuracy
    assert adapted.robust_accuracy <= max(bare, known) + 0.1


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_it_finds_a_way_around_a_module_in_half_precision(
    half: torch.dtype, digits_cnn: nn.Module, digits_test: Digits, copied: Callable[[nn.Module], nn.Module]
) -> None:
    given = batch(digits_test, 8)
    network = nn.Sequential(Rounding(), copied(digits_cnn)).to(half)
    seen = look(network, replace(given, x=given.x.to(half)), BALL)
    assert not seen.failed
    assert seen.ways


def test_sound_networks_have_nothing_to_do(digits_cnn: nn.Module, digits_mlp: nn.Module, digits_test: Digits) -> None:
    for network in (
        digits_cnn,
        digits_mlp,
        Front(digits_cnn, lambda x: x * 0.9),
        Front(digits_cnn, after=lambda z: z / 3),
    ):
        for ball in (Linf(0.02), Linf(0.1), vb.L2(0.5)):
            seen = look(network, batch(digits_test), ball)
            assert (seen.seen, seen.ways, seen.findings) == ((), (), [])
            assert seen.sentence == "nothing to do"


def test_a_study_without_threats_gets_the_ways_as_cells(
    tmp_path: Path, digits_cnn: nn.Module, digits_test: Digits
) -> None:
    x, y = (digits_test[0][:24] * 255).round().to(torch.uint8), digits_test[1][:24]
    data = Dataset("digits", "", InMemory(x), y, tuple("0123456789"))
    models = {"rounded": FRONTS["rounding"](digits_cnn), "sound": digits_cnn}
    Study(tmp_path, data=data, models=models, attacks={"pgd": attacks.PGD(BALL, steps=10)}).run()
    run = load(tmp_path)
    threats_of = {m: {c.meta["threat"] for c in run.cells if c.meta["model"] == m} for m in models}
    assert threats_of["sound"] == {"white-box"}
    assert "auto:straight(network)" in threats_of["rounded"]
    assert run.study["adapted"]["sound | none"] == "nothing to do"
    assert "passed straight through" in run.study["adapted"]["rounded | none"]
    accuracy = {
        c.meta["threat"]: 1 - c.columns["misclassified"].mean() for c in run.cells if c.meta["model"] == "rounded"
    }
    assert accuracy["auto:straight(network)"] < accuracy["white-box"] - 0.2
    codes = {f["code"] for c in run.cells if c.meta["threat"] == "white-box" for f in c.findings}
    assert "gradient-explains-little" in codes


def test_the_probes_speak_of_white_box_where_no_way_is_asked_for(
    tmp_path: Path, digits_cnn: nn.Module, digits_test: Digits
) -> None:
    x, y = (digits_test[0][:24] * 255).round().to(torch.uint8), digits_test[1][:24]
    data = Dataset("digits", "", InMemory(x), y, tuple("0123456789"))
    models = {"m": FRONTS["reversed margin"](digits_cnn)}
    attack = {"pgd": attacks.PGD(BALL, steps=2)}
    Study(tmp_path, data=data, models=models, attacks=attack, threats=["white-box"]).run()
    run = load(tmp_path)
    assert [c.meta["threat"] for c in run.cells] == ["white-box"]
    assert run.study["adapted"] == {}
    assert "gradient-mismatch-at-scale" in {f["code"] for c in run.cells for f in c.findings}


def test_what_the_probes_find_sends_everybody_to_the_audit_of_quick() -> None:
    assert {rule.code for rule in (UNEXPLAINED, AT_SCALE, OFF_THE_IMAGE, UNKNOWN)} <= SUSPICIOUS


def test_a_gradient_explains_a_linear_function_and_not_another_one() -> None:
    x = Stream(0, torch.arange(6)).normal("x", (5,), dtype=torch.float64)
    w = torch.arange(1.0, 6.0, dtype=torch.float64)
    step = torch.full((6,), 0.1, dtype=torch.float64)
    right = responses(lambda z: z @ w, x, w.expand(6, 5), step, 0)
    assert torch.allclose(right.explained, torch.ones(6, dtype=torch.float64))
    assert bool(responses(lambda z: z @ w, x, -w.expand(6, 5), step, 0).unsound.all())
    none = responses(lambda z: z @ w, x, torch.zeros(6, 5, dtype=torch.float64), step, 0)
    assert bool(none.dead.all())
    assert not bool(responses(lambda z: z[:, 0] * 0, x, torch.zeros(6, 5, dtype=torch.float64), step, 0).unsound.any())
    even = responses(lambda z: 7 * (z - x).square().sum(1), x, torch.zeros(6, 5, dtype=torch.float64), step, 0)
    assert not bool(even.unsound.any())  # curvature cancels


def test_the_menu_knows_what_an_operation_does() -> None:
    z = Stream(0, torch.arange(4)).normal("z", (2, 6, 6))
    kept = z * (z >= z.flatten(1).topk(8, 1).values[:, -1].view(-1, 1, 1, 1))
    named = dict(menu(z, kept))
    assert {"identity", "soft top-k", "fitted 1x1 convolution", "fitted 3x3 convolution"} == set(named)
    assert isinstance(named["soft top-k"], SoftTopK)
    assert named["soft top-k"].share == pytest.approx(8 / 72)
    steps = dict(menu(z, (z > 0.3).float()))
    assert steps["soft threshold"].at == pytest.approx(0.3, abs=0.1)
    mixed = torch.stack([2 * z[:, 0] - z[:, 1] + 3, z[:, 1]], 1)
    fitted = dict(menu(z, mixed))["fitted 1x1 convolution"]
    assert torch.allclose(fitted(z), mixed, atol=0.02)
    assert "copies of channels" in dict(menu(z, torch.cat([z, z], 1)))


def test_the_menu_finds_the_vectors_that_an_operation_chooses_from() -> None:
    z = Stream(0, torch.arange(16)).normal("z", (3, 6, 6))
    words = Stream(1, torch.arange(7)).normal("words", (3,))
    chosen = torch.cdist(z.movedim(1, -1).reshape(-1, 3), words).argmin(1)
    replaced = words[chosen].view(16, 6, 6, 3).movedim(-1, 1)
    soft = dict(menu(z, replaced))["soft nearest neighbour"]
    torch.testing.assert_close(soft.words.sort(0).values, words.sort(0).values)
    leaf = z[:2].clone().requires_grad_(True)
    apart = (leaf.movedim(1, -1)[..., None, :] - soft.words).square().sum(-1)
    by_hand = torch.einsum("bhwk,kc->bchw", (-apart / soft.width).softmax(-1), soft.words)
    torch.testing.assert_close(soft(leaf), by_hand)
    assert soft.width == pytest.approx(float((z - replaced).square().sum(1).mean()), rel=1e-5)
    farthest = torch.cdist(z.movedim(1, -1).reshape(-1, 3), words).argmax(1)
    other = words[farthest].view(16, 6, 6, 3).movedim(-1, 1)
    assert "soft nearest neighbour" not in dict(menu(z, other))
    assert "soft nearest neighbour" not in dict(menu(z, z * 2))


def test_a_defence_between_modules_that_answer_the_same(digits_cnn: nn.Module, digits_test: Digits) -> None:
    """The network behind it is seen, and its gradient of zero, though grey levels are far apart."""
    given = batch(digits_test)
    network = nn.Sequential(nn.Sequential(Coarse(), digits_cnn))
    seen = look(network, given, BALL)
    assert any("Coarse (0.0) has a gradient of zero" in told for told in seen.seen)
    logits, calls = calls_of_submodules(network, given.x)
    assert "0.1" in [call.name for call in classifiers(calls, logits, len(given.x))]
    assert seen.ways
    assert not seen.lost


def test_zero_gradients_of_a_constant_are_its_own(digits_test: Digits) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0

    _, calls = calls_of_submodules(nn.Sequential(Constant(), nn.Flatten(), nn.Linear(64, 10)), digits_test[0][:8])
    assert unsound_modules(calls, calls, [], 0) == []


def test_a_look_that_fails_says_so(
    digits_cnn: nn.Module, digits_test: Digits, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    x, y = digits_test
    wrong = Batch(x[:8], (digits_cnn(x[:8]).argmax(1) + 1) % 10, torch.arange(8), 256)
    seen = look(digits_cnn, wrong, BALL)
    assert [f.code for f in seen.findings] == [FAILED.code]
    assert "answers rightly" in seen.sentence

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("hooks are not allowed here\nsecond line")

    monkeypatch.setattr("vauban.evaluate.adaptation.expand.look", broken)
    with caplog.at_level("INFO", logger="vauban"):
        report = vb.attack(attacks.FGSM(BALL), digits_cnn, Batch(x[:8], y[:8], torch.arange(8), 256), threat="auto")
    assert FAILED.code in [f.code for f in report.findings]
    assert "threat auto: the look failed: hooks are not allowed here; white-box alone was run" in caplog.text


def test_verify_attack_takes_the_best_way(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test
    batch = Batch(x[:12], y[:12], torch.arange(12), 256)
    cut = Front(digits_cnn, before=lambda images: torch.from_numpy(images.detach().numpy().round(1)))
    pgd = attacks.PGD(Linf(0.15), steps=10)
    with pytest.raises(NoGradient):
        vb.verify_attack(pgd, cut, batch)
    tested = vb.verify_attack(pgd, cut, batch, threat="auto")
    assert tested.recovered > tested.planted / 2 > 0


class Carded(nn.Sequential):
    """A network behind coarse levels, with a card."""

    def __init__(self, network: nn.Module, rule: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__(Rounding(), network)
        self.card = Card("levels", backward={"0": rule})


def test_auto_joins_a_card_whose_rule_is_bettered(tmp_path: Path, digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = (digits_test[0][:24] * 255).round().to(torch.uint8), digits_test[1][:24]
    data = Dataset("digits", "", InMemory(x), y, tuple("0123456789"))
    models = {"right": Carded(digits_cnn, None), "wrong": Carded(digits_cnn, lambda x: x.flip(3))}
    Study(tmp_path, data=data, models=models, attacks={"pgd": attacks.PGD(BALL, steps=10)}).run()
    run = load(tmp_path)
    rates = {
        m: {c.meta["threat"]: c.columns["success"].mean() for c in run.cells if c.meta["model"] == m} for m in models
    }
    assert set(rates["right"]) == {"white-box", "adaptive"}
    ways = [rate for threat, rate in rates["wrong"].items() if threat.startswith("auto:")]
    assert max(ways) > rates["wrong"]["adaptive"] + 0.2
    assert set(run.study["adapted"]) == {"wrong | none"}


class Scaled(nn.Module):
    """Coarse levels whose number is a second argument."""

    def forward(self, x: Tensor, levels: int) -> Tensor:
        return (x * levels).round() / levels


class Called(nn.Module):
    """A network that calls a submodule with two arguments."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.scaled, self.network = Scaled(), network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.scaled(x, 7))


def test_a_submodule_with_further_arguments_ends_no_look(digits_cnn: nn.Module, digits_test: Digits) -> None:
    seen = look(Called(digits_cnn), batch(digits_test), BALL)
    assert seen.failed == ""
    assert seen.ways
    assert not seen.lost

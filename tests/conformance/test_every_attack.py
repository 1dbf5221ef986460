"""Every registered attack, in every norm it claims, through invariants that each catch a bug some toolkit shipped."""

from __future__ import annotations

import copy
import dataclasses
import math
import types
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.attacks import registry
from vauban.core.annotations import declared
from vauban.core.answers import predicted
from vauban.core.contracts import Batch
from vauban.core.errors import AccessError, ContractError, VaubanError
from vauban.core.goals import Goal, RandomWrong, Targeted
from vauban.core.norms import Ball, norm_by_name
from vauban.core.parameters import Range
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, Result

RADIUS = {"linf": 0.15, "l2": 1.2, "l1": 8.0, "l0": 12.0}  # 0.15 is 38.25 levels
CHEAP = {"steps": 8, "search_steps": 2, "n_target": 2, "queries": 12, "most": 40, "tries": 10, "classes": 4, "inner": 4}
CHEAP |= {"pairs": 6, "coordinates": 6, "population": 8, "candidates": 8}
CASES = [(entry.name, norm) for entry in registry for norm in entry.facts.get("norms", ())]
IDS = torch.tensor([11, 4, 9, 2, 7, 30])

every = pytest.mark.parametrize(("name", "norm"), CASES, ids=[f"{a}-{b}" for a, b in CASES])


def attack_of(name: str, norm: str, radius: Any = None, steps: int = CHEAP["steps"]) -> Any:
    """The attack with few steps, in a norm; radius as a ball takes it."""
    make = registry.get(name).make
    fields = {f.name: f for f in dataclasses.fields(make)}
    params: dict[str, Any] = {}
    if registry.get(name).facts["needs"] == "scores":
        steps *= 5
    for key, value in (CHEAP | {"steps": steps}).items():
        default = fields[key].default if key in fields else None
        if isinstance(default, int) and default > value:
            params[key] = value
    if "ball" in fields:
        params["ball"] = norm_by_name(norm)(RADIUS[norm] if radius is None else radius)
    if "norm" in fields:
        params["norm"] = norm_by_name(norm)
    if registry.get(name).facts.get("fitted"):
        params["v"] = perturbation(norm, RADIUS[norm])
    return make(**params)


def perturbation(norm: str, radius: float) -> Tensor:
    """For what is fitted before it is run: a perturbation of the digits that touches the sphere."""
    d = torch.linspace(-3, 2, 64).sin().view(1, 1, 8, 8)
    return (d * radius / norm_by_name(norm).size(d))[0]


class Tally(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, owner: Counting) -> Tensor:
        ctx.owner = owner
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Any:
        ctx.owner.backwards += len(grad[0])
        return grad[0], None


class Counting(nn.Module):
    """Counts the images that really go through, and come back; `shift` is added to every logit."""

    def __init__(self, inner: nn.Module, shift: float = 0.0) -> None:
        super().__init__()
        self.inner, self.shift = inner, shift
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        return Tally.apply(self.inner(x) + self.shift, self)


@dataclasses.dataclass
class Context:
    x: Tensor
    y: Tensor
    pool: Tensor
    cnn: nn.Module
    mlp: nn.Module
    runs: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def plain(self, name: str, norm: str) -> tuple[Result, Counting]:
        """One ordinary run per case, shared by the tests that look at different sides of it."""
        if (name, norm) not in self.runs:
            self.runs[name, norm] = self.run(attack_of(name, norm), Counting(copy.deepcopy(self.cnn)))
        return self.runs[name, norm]

    def run(self, attack: Any, net: nn.Module, x: Tensor | None = None, **options: Any) -> tuple[Result, Any]:
        x = self.x if x is None else x
        keys = ("goal", "mask", "ids", "y")
        of_open = {k: options.pop(k) for k in keys if k in options}
        oracle = Oracle.open(
            BoundThreat(net, **options), x, of_open.pop("y", self.y), ids=of_open.pop("ids", IDS), **of_open
        )
        for module in net.modules():
            if isinstance(module, Counting):
                module.forwards = module.backwards = 0
        return attack.run(oracle), net


@pytest.fixture(scope="module")
def context(
    digits_test: tuple[Tensor, Tensor],
    digits_cnn: nn.Module,
    digits_mlp: nn.Module,
    copied: Callable[[nn.Module], nn.Module],
) -> Context:
    x, y = digits_test
    right = ((digits_cnn(x).argmax(1) == y) & (digits_mlp(x).argmax(1) == y)).nonzero().squeeze(1)[:6]
    return Context(x[right], y[right], x[:60], copied(digits_cnn), copied(digits_mlp))


def check(result: Result, x: Tensor, reached: Tensor, attack: Any, *, levels: int | None = 256) -> None:
    """What holds of every result: feasible images, verified successes, honest failures."""
    levels = levels if attack.rounded else None
    assert result.crafted.dtype == result.adversarial.dtype == x.dtype
    for image in (result.crafted, result.adversarial):
        assert image.shape == x.shape
        assert not image.requires_grad
        assert ((image >= 0) & (image <= 1)).all()
        assert levels is None or on_grid(image, levels)
        if isinstance(ball := getattr(attack, "ball", None), Ball):
            assert ball.bind(x).contains(image, x).all()
    assert torch.equal(reached | ~result.success, torch.ones_like(reached)), "a success that a fresh forward denies"
    failed = ~result.success
    assert torch.equal(result.adversarial[failed], x[failed])
    assert result.distance[failed].isinf().all()
    size = attack.norm.size(result.adversarial - x)
    torch.testing.assert_close(result.distance[~failed], size[~failed], atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@every
def test_images_and_claims(name: str, norm: str, context: Context) -> None:
    result, _ = context.plain(name, norm)
    reached = context.cnn(result.adversarial).argmax(1) != context.y
    check(result, context.x, reached, attack_of(name, norm))
    if registry.get(name).facts["needs"] == "gradients" and attack_of(name, norm).steps > 1:
        assert result.success.any(), "no success at all would make every check above empty"
    assert ((result.first <= result.backwards) & ((result.first >= 0) | ~result.success)).all()


@every
def test_passes_counted_are_passes_made(name: str, norm: str, context: Context) -> None:
    result, net = context.plain(name, norm)
    assert int(result.forwards.sum()) == net.forwards
    assert int(result.backwards.sum()) == net.backwards
    if registry.get(name).facts["needs"] != "gradients":
        assert net.backwards == 0


@pytest.mark.slow
@every
def test_nothing_is_left_behind(name: str, norm: str, context: Context) -> None:
    net = copy.deepcopy(context.cnn).train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    modes = [m.training for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    flags = [p.requires_grad for p in net.parameters()]
    generator, x = torch.get_rng_state(), context.x.clone()
    context.run(attack_of(name, norm), net, x)
    assert torch.equal(x, context.x), "the input was written into"
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.slow
@every
def test_a_logit_shift_changes_no_success(name: str, norm: str, context: Context) -> None:
    net, x = copy.deepcopy(context.mlp).double(), context.x.double()
    plain, _ = context.run(attack_of(name, norm), net, x)
    for shift in (-50.0, 200.0):
        shifted, _ = context.run(attack_of(name, norm), Counting(net, shift), x)
        assert torch.equal(plain.success, shifted.success)


@pytest.mark.slow
@every
def test_a_sample_does_not_see_its_batch(name: str, norm: str, context: Context) -> None:
    net, x = copy.deepcopy(context.mlp).double(), context.x.double()
    whole, _ = context.run(attack_of(name, norm), net, x)
    assert whole.adversarial.dtype == torch.float64
    for rows in (torch.tensor([5, 2, 0, 3, 1, 4]), torch.tensor([3]), torch.tensor([4, 1])):
        part, _ = context.run(attack_of(name, norm), net, x[rows], y=context.y[rows], ids=IDS[rows])
        torch.testing.assert_close(part.crafted, whole.crafted[rows], atol=1e-9, rtol=0)
        torch.testing.assert_close(part.adversarial, whole.adversarial[rows], atol=1e-9, rtol=0)
        assert torch.equal(part.forwards, whole.forwards[rows])
        assert torch.equal(part.backwards, whole.backwards[rows])


@pytest.mark.slow
@every
def test_pixels_at_0_and_1_can_move(name: str, norm: str, context: Context) -> None:
    x = (context.x > 0.5).float()
    y = context.mlp(x).argmax(1)
    attack = attack_of(name, norm, radius=16.0 if norm == "l1" else None, steps=25)
    result, _ = context.run(attack, context.mlp, x, y=y)
    check(result, x, context.mlp(result.adversarial).argmax(1) != y, attack)
    if registry.get(name).facts["needs"] == "gradients":
        moved = result.crafted != x
        assert moved[x == 0].any()
        assert moved[x == 1].any()


@pytest.mark.slow
@every
def test_masked_components_stay_exactly(name: str, norm: str, context: Context) -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, :, 2:6] = True
    for x in (context.x, context.x.double()):
        net = context.mlp if x.dtype == torch.float32 else copy.deepcopy(context.mlp).double()
        result, _ = context.run(attack_of(name, norm), net, x, mask=mask)
        outside = ~mask.expand_as(x)
        assert torch.equal(result.crafted[outside], x[outside])
        check(result, x, net(result.adversarial).argmax(1) != context.y, attack_of(name, norm))


@pytest.mark.slow
@every
def test_one_radius_per_sample(name: str, norm: str, context: Context) -> None:
    radius = RADIUS[norm] * torch.tensor([0.0, 0.2, 0.5, 1.0, 1.5, 2.0])
    attack = attack_of(name, norm, radius)
    if getattr(attack, "ball", None) is None:
        pytest.skip("the attack has no radius")
    result, _ = context.run(attack, context.mlp)
    check(result, context.x, context.mlp(result.adversarial).argmax(1) != context.y, attack)
    assert torch.equal(result.crafted[0], context.x[0])


@pytest.mark.slow
@every
def test_targets(name: str, norm: str, context: Context) -> None:
    """Reaches the target it claims, or says in one line that it takes none."""
    goals: list[Goal] = [RandomWrong(), Targeted((context.y + 1) % 10)]
    attack = attack_of(name, norm)
    if hasattr(attack, "starts"):  # a targeted decision attack begins at images of the target classes
        attack = dataclasses.replace(attack, starts=context.pool)
    for goal in goals:
        oracle = Oracle.open(BoundThreat(context.mlp), context.x, context.y, goal, IDS)
        if not registry.get(name).facts.get("targeted", False):
            with pytest.raises(VaubanError, match="target"):
                attack.run(oracle)
            continue
        result = attack.run(oracle)
        check(result, context.x, context.mlp(result.adversarial).argmax(1) == oracle.goal.target, attack)


@pytest.mark.slow
@every
def test_the_budget_is_respected(name: str, norm: str, context: Context) -> None:
    for budget in (1, 6):
        result, net = context.run(attack_of(name, norm), Counting(context.mlp), budget=budget)
        assert (result.forwards <= budget).all()
        assert net.forwards <= budget * len(context.x)
        check(result, context.x, context.mlp(result.adversarial).argmax(1) != context.y, attack_of(name, norm))


@pytest.mark.slow
@every
def test_vectors_unrounded(name: str, norm: str, context: Context) -> None:
    x, attack = context.x.flatten(1), attack_of(name, norm)
    try:
        result, _ = context.run(attack, context.mlp, x, levels=None)
    except VaubanError as refusal:
        lines = str(refusal).splitlines()
    else:
        lines = ["ran"]
    assert len(lines) == 1
    if lines != ["ran"]:
        return
    check(result, x, context.mlp(result.adversarial).argmax(1) != context.y, attack, levels=None)


@pytest.mark.slow
@every
def test_the_limit_of_the_threat(name: str, norm: str, context: Context) -> None:
    attack = attack_of(name, norm)
    limit = norm_by_name(norm)(RADIUS[norm] / 2)
    if isinstance(getattr(attack, "ball", None), Ball):
        with pytest.raises(AccessError, match="larger than the threat's limit"):
            context.run(attack, context.mlp, limit=limit)
        return
    result, _ = context.run(attack, context.mlp, limit=limit)
    assert limit.bind(context.x).contains(result.adversarial, context.x).all()


@pytest.mark.slow
@every
def test_grants_are_needed(name: str, norm: str, context: Context) -> None:
    """An attack asks for no more than its fact says."""
    allowed = {
        "nothing": set(),
        "labels": {"gradients"},
        "scores": {"gradients", "labels"},
        "gradients": {"scores", "labels"},
    }
    needs = registry.get(name).facts["needs"]
    if needs == "nothing":
        context.run(attack_of(name, norm), context.mlp, grants=frozenset())
        return
    with pytest.raises(AccessError, match="does not grant"):
        context.run(attack_of(name, norm), context.mlp, grants=frozenset(allowed[needs]))
    if needs in ("labels", "scores"):
        result, _ = context.run(attack_of(name, norm), context.mlp, grants=frozenset({needs}))
        assert len(result) == len(context.x)


class Answering(nn.Module):
    """The logits of a network in another type."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).to(self.dtype)


@pytest.mark.slow
@every
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64 logits"])
def test_types(kind: str, name: str, norm: str, context: Context) -> None:
    """In half precision, and with logits in double, the answer is that of float32 but for an image at the boundary.

    What is handed over is in the type that came, and the network itself says of it what the verdict says.
    """
    attack, plain = attack_of(name, norm), context.plain(name, norm)[0]
    dtype = getattr(torch, kind.partition(" ")[0]) if "logits" not in kind else torch.float32
    net: nn.Module = copy.deepcopy(context.cnn).to(dtype)
    net = Answering(net, torch.float64) if "logits" in kind else net
    report = vb.attack(attack, net, Batch(context.x.to(dtype), context.y, IDS))
    x = report.adversarial
    assert x.dtype == report.crafted.dtype == dtype
    assert torch.equal(report.success, net(x).argmax(1) != context.y)
    assert torch.equal(x[~report.success], context.x[~report.success].to(dtype))
    assert int((report.success != plain.success).sum()) <= 1
    if isinstance(ball := attack.ball, Ball):  # of the levels that the images stand for, by the rule of float32
        assert ball.bind(context.x).contains((x.float() * 255).round() / 255, context.x).all()


class Root(nn.Module):
    """sqrt(x)^2 before a network: the same answers, and gradients that are not finite at black pixels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_forward_pre_hook(finite)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.sqrt().square())


def finite(module: nn.Module, args: tuple[Tensor, ...]) -> None:
    assert args[0].isfinite().all(), "the network is shown an image that is not finite"


class Entropy(Root):
    """x + 0 (x log x), with NaN in the gradient of black pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + 0 * torch.where(x > 0, x * x.log(), x))


class Overflowing(Root):
    """Logits that are NaN where the image has become lighter than it was."""

    def __init__(self, inner: nn.Module, most: float) -> None:
        super().__init__(inner)
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        room = self.most - x.flatten(1).mean(1, keepdim=True)
        return self.inner(x) + room.sqrt() - room.sqrt().detach()


@pytest.mark.slow
@every
@pytest.mark.parametrize("kind", [Root, Entropy, Overflowing])
def test_gradients_that_are_not_finite(kind: type[Root], name: str, norm: str, context: Context) -> None:
    """No state, and no image that is handed over, takes up a NaN or an infinity."""
    x, attack = context.x, attack_of(name, norm)
    net = (
        Overflowing(context.cnn, float(x.flatten(1).mean(1).max()) + 0.01) if kind is Overflowing else kind(context.cnn)
    )
    oracle = Oracle.open(BoundThreat(net), x, context.y, ids=IDS)
    result = attack.run(oracle)
    check(result, x, predicted(net(result.adversarial)) != context.y, attack)
    assert result.crafted.isfinite().all()
    if kind is Overflowing:
        return
    follows = registry.get(name).facts["needs"] == "gradients" and name != "cia"  # which begins where no pixel is black
    assert bool((oracle.pass_count.nonfinite_gradients > 0).all()) == follows
    assert (oracle.pass_count.nonfinite_gradients <= result.backwards).all()
    plain = context.plain(name, norm)[0]
    assert int(result.success.sum()) >= int(plain.success.sum()) // 2


def spans(hint: Any) -> list[tuple[Any, type]]:
    """Range (None where there is none) and type of every number that an annotation takes."""
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        own = [(note, base) for note in notes if isinstance(note, Range)]
        return own or spans(base)
    if hint in (int, float):
        return [(None, hint)]
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return [span for part in get_args(hint) for span in spans(part)]
    return []


def neighbours(end: float, kind: type) -> tuple[float, float]:
    if kind is int:
        return int(end) - 1, int(end) + 1
    return math.nextafter(end, -math.inf), math.nextafter(end, math.inf)


def inside(value: float, span: Range, kind: type) -> bool:
    """Membership, written out again."""
    if kind is int and not isinstance(value, int):
        return False
    above = span.low < value or (value == span.low and not span.open_low)
    return above and (value < span.high or (value == span.high and not span.open_high)) and math.isfinite(value)


def replaced(default: tuple[Any, ...], value: Any) -> list[tuple[Any, ...]]:
    return [(*default[:i], value, *default[i + 1 :]) for i in range(len(default))]


SINGLE = [entry for entry in registry if not entry.facts.get("combines")]
BUILT = [entry for entry in SINGLE if not entry.facts.get("fitted")]
DECLARED = [
    (entry.make, f.name, declared(entry.make)[f.name])
    for entry in BUILT
    for f in dataclasses.fields(entry.make)
    if f.init and f.name in declared(entry.make) and spans(declared(entry.make)[f.name])
]


@pytest.mark.parametrize("entry", SINGLE, ids=[entry.name for entry in SINGLE])
def test_every_field_is_declared(entry: Any) -> None:
    """A field has an annotation that can be resolved, and a number a range."""
    hints = declared(entry.make)
    for f in dataclasses.fields(entry.make):
        assert f.name in hints
        ranges = [span for span, _ in spans(hints[f.name])]
        assert not f.init or None not in ranges, f"{f.name} has no range"


@pytest.mark.parametrize(("make", "name", "hint"), DECLARED, ids=[f"{m.__name__}-{n}" for m, n, _ in DECLARED])
def test_a_number_outside_its_range_is_refused(make: Any, name: str, hint: Any) -> None:
    """NaN, infinity, a text, true for a number, and the numbers at and beside the ends of the declared ranges."""
    default = getattr(make(), name)
    ranges = [(span, kind) for span, kind in spans(hint) if span is not None]
    ends = [(end, kind) for span, kind in ranges for end in (span.low, span.high) if math.isfinite(end)]
    beside = {v for end, kind in ends for v in (end, *neighbours(end, kind))}
    infinite = any(span.infinite for span, _ in ranges)
    for value in (math.nan, -math.inf, "1", True, *([] if infinite else [math.inf]), *sorted(beside)):
        if type(value) in (int, float) and any(inside(value, span, kind) for span, kind in ranges):
            continue
        for wrong in [value] if not isinstance(default, tuple) else replaced(default, value):
            with pytest.raises(ContractError, match=rf"^expected {name} of {make.__name__} as .*, got ") as refusal:
                make(**{name: wrong})
            assert len(str(refusal.value).splitlines()) == 1

"""What an attacker without the key does: surrogates, recovery from weights, from chosen images, from a leaked layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import defences, models, threats
from vauban.core.cards import keys_of
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, VaubanError
from vauban.core.secret import Secret
from vauban.evaluate.attackers_means import RunMeans
from vauban.threats.key_recovery import by_assignment, by_responses

KEY = Secret.public(7)


@dataclass(frozen=True)
class Told(RunMeans):
    """Means whose sentences can be read."""

    sentences: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    path = folder / "w.safetensors"
    vb.train(
        "digits-cnn", "digits/train[:300]", path, defence="pixel-permutation:key=public:7", epochs=3, lr=3e-3, holdout=0
    )
    return path


@pytest.fixture
def means(file: Path, folder: Path) -> Told:
    network = models.load(str(file))
    return Told(network, defences.load("pixel-permutation:key=public:7").wrap(network), folder / "s", None, "cpu")


def order(shape: tuple[int, ...] = (1, 8, 8)) -> Tensor:
    defence = defences.load("pixel-permutation:key=public:7")
    assert isinstance(defence, defences.KeyedDefence)
    return defence.made(shape)[0]


def test_surrogates_are_trained_like_the_target_behind_fresh_keys(means: Told, folder: Path) -> None:
    """Each has a key of its own, none the target's; asked again, they are read and not trained."""
    prepared = threats.keyed(keys=2).prepare(means)
    assert isinstance(prepared, threats.Keyed)
    keys = [keys_of(network) for network in prepared.surrogates]
    assert keys == [(Secret.public(1000).id,), (Secret.public(1001).id,)]
    times = {path: path.stat().st_mtime_ns for path in (folder / "s").glob("*.safetensors")}
    assert len(times) == 2
    threats.keyed(keys=2).prepare(means)
    assert {path: path.stat().st_mtime_ns for path in (folder / "s").glob("*.safetensors")} == times
    bound = prepared.bind(means.defended, levels=256)
    assert [weight for _, weight in bound.sources] == [0.5, 0.5]
    assert KEY.id not in str([keys_of(network) for network, _ in bound.sources])


def test_without_surrogates_and_without_knowing_the_training_it_is_refused(means: Told, digits_cnn: nn.Module) -> None:
    with pytest.raises(ContractError, match="expected surrogates="):
        threats.keyed().bind(means.defended, levels=256)
    strange = Told(
        digits_cnn, defences.load("pixel-permutation:key=public:7").wrap(digits_cnn), means.folder, None, "cpu"
    )
    with pytest.raises(ContractError, match="says how it was trained"):
        threats.keyed().prepare(strange)


@pytest.mark.parametrize(
    "threat", [threats.ChosenInputs(), threats.LeakedActivation(), threats.LeakedActivation(layer="inner.0")]
)
def test_n_chosen_images_give_the_whole_order(threat: threats.Threat, means: Told) -> None:
    prepared = threat.prepare(means)
    assert torch.equal(prepared.guess.guess.argmax(1), order())  # type: ignore[attr-defined]
    assert "65 chosen images" in means.sentences[0]
    x = vb.data.load("digits/test[:16]").all().x
    torch.testing.assert_close(prepared.guess(x), means.defended(x))  # type: ignore[attr-defined]


def test_fewer_chosen_images_give_a_part_of_it(means: Told) -> None:
    prepared = threats.ChosenInputs(queries=33).prepare(means)
    right = (prepared.guess.guess.argmax(1) == order()).sum()  # type: ignore[union-attr]
    assert 32 <= right < 64
    assert "33 chosen images: the order of 32 of 64" in means.sentences[0]


def test_an_order_is_read_off_its_responses() -> None:
    known = torch.rand(50, 10, generator=torch.Generator().manual_seed(0))
    pi = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    answered = torch.empty_like(known)
    answered[pi] = known  # thing pi[j] comes to place j, so its change is answered as that of place j
    assert torch.equal(by_responses(answered, known).argmax(1), pi)


@pytest.mark.parametrize(
    "text", ["pixel-permutation", "keyed-signs", "pixel-substitution", "block-permutation:block=2"]
)
def test_weights_give_away_a_key(text: str) -> None:
    """A linear classifier of two prototypes: what is recovered classifies as the true key does."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(4, 1, 4, 4, generator=generator)
    y = torch.arange(400) % 4
    x = (prototypes[y] + 0.05 * torch.randn(400, 1, 4, 4, generator=generator)).clamp(0, 1)
    defence = defences.load(text, key=KEY)
    assert isinstance(defence, defences.KeyedDefence)
    hidden = defence.apply(prototypes).flatten(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        network[1].weight.copy_(40 * hidden)
        network[1].bias.copy_(-20 * hidden.square().sum(1))
    batch = Batch(x, y, torch.arange(400), None)
    assert float((network(defence.apply(x)).argmax(1) == y).double().mean()) > 0.95
    recovery = by_assignment(network, defence, batch, steps=150, seed=1)
    assert recovery.accuracy > 0.9
    assert float((network(x).argmax(1) == y).double().mean()) < 0.8


def test_a_substitute_learns_the_labels_and_counts_what_it_asked(means: Told) -> None:
    asked: list[int] = []
    handle = means.defended.register_forward_hook(lambda module, args, out: asked.append(len(args[0])))
    threat = threats.Substitute("digits-cnn", "digits/train[300:340]", rounds=3, epochs=15, lr=3e-3)
    prepared = threat.prepare(means)
    assert sum(asked) == 40 * 2**3
    assert means.sentences[0] == "320 answers will be asked for, to train digits-cnn on them"
    assert float(means.sentences[1].split("gives ")[1].split("%")[0]) > 60
    bound = prepared.bind(means.defended, levels=256)
    assert bound.sources == ((prepared.trained, 1.0),)
    with pytest.raises(ContractError, match="trains the network before the attack"):
        threat.bind(means.defended, levels=256)
    handle.remove()
    short = threats.Substitute("digits-cnn", "digits/train[300:340]", rounds=0, epochs=1)
    first, second = short.prepare(means).trained, short.prepare(means).trained
    assert first is not None
    assert second is not None
    assert [sentence.split()[1] for sentence in means.sentences[2:]] == ["answers", "gives", "gives"]  # asked once
    kept = first.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in second.state_dict().items())


def test_what_is_fitted_is_what_the_threat_trains(means: Told, tmp_path: Path) -> None:
    """One network, by `vauban fit` into a weights file and by the threat before its attack; the target's labels counted."""
    asked: list[int] = []
    handle = means.defended.register_forward_hook(lambda module, args, out: asked.append(len(args[0])))
    told: list[int] = []
    words = "substitute:model=digits-cnn,rounds=2,epochs=2,lr=0.003"
    path = tmp_path / "s.safetensors"
    fitted = vb.fit(words, means.defended, "digits/train[300:340]", path, seed=3, callback=told.append)
    handle.remove()
    assert told == [40, 80, 160]
    assert sum(asked) == 160 + 8  # the first images are looked at before anything is spent
    assert (fitted.images, fitted.forwards, fitted.reached["labels asked for"]) == (40, 160, 160)
    trained = threats.Substitute("digits-cnn", "digits/train[300:340]", 2, 2, lr=3e-3, seed=3).prepare(means).trained
    assert trained is not None
    written = models.load(str(path)).state_dict()
    assert all(torch.equal(written[name], tensor) for name, tensor in trained.state_dict().items())
    assert models.weights.metadata(path)["fit"]["forwards"] == 160
    result = vb.attack("pgd:eps=0.3,steps=3", means.defended, "digits/test[:8]", threat=f"transfer:sources=[{path}]")
    assert len(result.success) == 8


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        ("substitute:model=mnist-c4", {}, "expected a model that takes"),
        ("substitute:model=nothing", {}, "unknown model 'nothing'"),
        ("substitute", {}, "needs model"),
        ("substitute:model=digits-cnn,rounds=-1", {}, "rounds"),
        ("substitute:model=digits-cnn", {"threat": "labels-only"}, "no threat and no goal to fit the network"),
    ],
)
def test_a_substitute_that_cannot_be_fitted(words: str, given: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(VaubanError, match=message) as told:
        vb.fit(words, "digits-cnn", "digits/train[:8]", tmp_path / "s.safetensors", **given)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "s.safetensors").exists()


def test_a_table_cannot_be_guessed(means: Told) -> None:
    table = defences.load("pixel-substitution:values=table", key=KEY)
    assert isinstance(table, defences.KeyedDefence)
    batch = Batch(torch.rand(20, 1, 8, 8), torch.zeros(20, dtype=torch.int64), torch.arange(20), None)
    with pytest.raises(ContractError, match="whose key gives an order or signs"):
        by_assignment(nn.Flatten(), table, batch, steps=1, seed=0)


def test_a_study_takes_every_threat_by_name(file: Path, tmp_path: Path) -> None:
    names = [
        "keyed:keys=1",
        "keyed:weights=known,steps=20",
        "leaked-key",
        "chosen-inputs",
        "labels-only",
        "scores-only",
    ]
    names.append("substitute:model=digits-cnn,data='digits/train[300:320]',rounds=1,epochs=1")
    for threat in names:
        attack = "square:steps=20" if threat == "scores-only" else "pgd:eps=0.1,steps=3"
        attack = "hopskipjump:steps=2,queries=10,norm=linf" if threat == "labels-only" else attack
        study = vb.Study(
            tmp_path / "run",
            data="digits/test[:8]",
            models=str(file),
            attacks=attack,
            defences="trained",
            threats=[threat],
            preflight=False,
        )
        results = study.run(progress=False)
        assert not [outcome for outcome in results.outcomes if outcome.state == "failed"], threat


def test_the_cards_of_surrogates_are_followed(digits_cnn: nn.Module) -> None:
    """Behind a table of values the plain gradient is gone at half of the places; the card's identity is taken there."""
    table = defences.load("pixel-substitution:values=table", key=Secret.public(8))
    bound = threats.keyed(surrogates=table.wrap(digits_cnn)).bind(digits_cnn, levels=256)
    assert list(bound.backward.values()) == [None]


VECTORS = """
import torch
from vauban.data.dataset import Dataset, InMemory
from vauban.data.digits import pixels_and_labels

def vectors(split="train", n=300):
    x, y = pixels_and_labels(split)
    return Dataset("vectors", split, InMemory(x[:n].flatten(1).float() / 255), y[:n], tuple("0123456789"))

def net():
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
"""


def test_feature_vectors_from_training_to_the_battery(tmp_path: Path) -> None:
    """Who asks for each of the 64 components of a vector knows the order, and is as strong as who has the key."""
    file = tmp_path / "vectors.py"
    file.write_text(VECTORS)
    path, data = tmp_path / "v.safetensors", f"{file}:vectors"
    vb.train(f"{file}:net", data, path, defence="pixel-permutation:key=public:7", epochs=3, lr=1e-2, holdout=0)
    names = ["leaked-key", "chosen-inputs", "keyed:keys=1", "keyed:weights=known,steps=5"]
    names.append(f"substitute:model='{file}:net',data='{data}:n=20',rounds=1,epochs=1")
    results = vb.Study(
        tmp_path / "run",
        data=f"{data}:split=test,n=16",
        models=f"{file}:net:weights={path}",
        attacks="pgd:eps=0.2,steps=5",
        defences="trained",
        threats=names,
        preflight=False,
    ).run(progress=False)
    assert not [outcome for outcome in results.outcomes if outcome.state == "failed"]
    leaked, asked = (
        next(cell for cell in results.run.cells if cell.meta["threat"] == name).columns["success"].tolist()
        for name in names[:2]
    )
    assert leaked == asked
    assert any(leaked)


def test_several_keyed_transforms_are_not_recovered_as_one(means: Told) -> None:
    channels = defences.KeyedChannels(defences.load("pixel-permutation", key=KEY), 2)  # type: ignore[arg-type]
    several = Told(means.network, channels.around(means.network), means.folder, None, "cpu")  # type: ignore[arg-type]
    for threat in (threats.ChosenInputs(), threats.Keyed(weights="known")):
        with pytest.raises(ContractError, match="one keyed transform in front of the network to recover, got 2"):
            threat.prepare(several)

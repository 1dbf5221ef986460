"""Table 1 of my paper: a network trained with PGD against a plain one, on clean images and under attack."""

from pathlib import Path

from torch import Tensor, nn

from vauban import Linf
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.reproduce import Claim, Craft, Experiment, Judge, Larger, Scale, TableCell, TrainingRun, WeightedNetwork

HERE = Path(__file__).resolve()


class Net(nn.Module):
    """The network of the paper: images in [0,1] in, logits out, the normalisation inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers((x - 0.3) / 0.4)
        return logits


PLAIN = TrainingRun(f"{HERE}:Net", "digits/train", epochs=3, batch=50, lr=0.01, holdout=0)
OURS = TrainingRun(
    f"{HERE}:Net", "digits/train", epochs=3, batch=50, lr=0.01, holdout=0, recipe="at:attack=[pgd:eps=0.1,steps=3]"
)
NETWORKS = {"plain": "plain", "ours": "trained with PGD"}
"""Roles, and what the printed table calls them."""
ATTACK = PGD(Linf(0.1), steps=10)


def cells(scale: Scale) -> list[TableCell]:
    """The numbers of the table: for each network the accuracy on clean images, and under an attack on that network."""
    table = []
    for role, name in NETWORKS.items():
        craft = Craft(ATTACK, (WeightedNetwork(role),), targeted=False)
        for images, label in ((None, "clean"), (craft, "PGD")):
            key = {"network": name, "attack": label}
            table.append(TableCell(images, Judge((role,)), "accuracy", key, f"{name}, {label}"))
    return table


SCALES = {
    "smoke": Scale(
        "digits/test[:60]",
        {},
        images=60,
        seeds=(0,),
        minutes=0.1,
        setting="stand-in",
        note="sixty images and two trainings: a trial",
        recipes={"plain": PLAIN, "ours": OURS},
        training_seeds=(0, 1),
    ),
    "paper": Scale(
        "digits/test",
        {},
        images=599,
        seeds=(0,),
        minutes=1,
        setting="same",
        note="",
        recipes={"plain": PLAIN, "ours": OURS},
        training_seeds=(0, 1, 2, 3, 4),
    ),
}
CLAIMS = (
    Claim(
        "Training with PGD makes the network more accurate under PGD.",
        "abstract",
        (Larger("trained with PGD, PGD", "plain, PGD"),),
    ),
)
table = Experiment(
    id=f"{HERE.stem}-1",
    title="Table 1: accuracy of both networks",
    source="my paper",
    cells=cells,
    scales=SCALES,
    printed=str(HERE.with_suffix(".csv")),  # as printed; those that come with this file are made up
    printed_n=599,  # images that they are over
    claims=CLAIMS,
)

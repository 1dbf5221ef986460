"""Types of `vauban`, written by docs/stubs.py from its registries."""

from vauban import attacks as attacks
from vauban import certificates as certificates
from vauban import data as data
from vauban import defences as defences
from vauban import metrics as metrics
from vauban import models as models
from vauban import threats as threats
from vauban.certificates.base import Certificate as Certificate
from vauban.certificates.certify import certify as certify
from vauban.core.cards import Card as Card
from vauban.core.cards import Defended as Defended
from vauban.core.contracts import Batch as Batch
from vauban.core.goals import LeastLikely as LeastLikely
from vauban.core.goals import RandomWrong as RandomWrong
from vauban.core.goals import Targeted as Targeted
from vauban.core.goals import Untargeted as Untargeted
from vauban.core.losses import auto as auto
from vauban.core.losses import cross_entropy as cross_entropy
from vauban.core.losses import margin as margin
from vauban.core.norms import L0 as L0
from vauban.core.norms import L1 as L1
from vauban.core.norms import L2 as L2
from vauban.core.norms import Ball as Ball
from vauban.core.norms import Linf as Linf
from vauban.core.norms import Norm as Norm
from vauban.core.secret import Secret as Secret
from vauban.data.dataset import Dataset as Dataset
from vauban.defences.base import InputDefence as InputDefence
from vauban.engine.attack import Attack as Attack
from vauban.engine.iterate import Point as Point
from vauban.engine.iterate import Steps as Steps
from vauban.engine.oracle import Oracle as Oracle
from vauban.engine.result import Result as Result
from vauban.evaluate.attack import attack as attack
from vauban.evaluate.attackbench import attackbench as attackbench
from vauban.evaluate.attackbench import attackbench_attacks as attackbench_attacks
from vauban.evaluate.fit import fit as fit
from vauban.evaluate.measure import measure as measure
from vauban.evaluate.planted.verify_attack import verify_attack as verify_attack
from vauban.evaluate.study import Study as Study
from vauban.evaluate.train import train as train
from vauban.evaluate.verify import verify as verify
from vauban.training.run import TrainingRun as TrainingRun
from vauban.words import load as load

__version__: str

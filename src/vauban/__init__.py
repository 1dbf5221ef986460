"""vauban attacks, defends and honestly measures image classifiers in PyTorch.

    import vauban as vb

    print(vb.attack("pgd:eps=0.1", "digits-cnn", "digits/test[:256]"))
    model = vb.models.load("digits-cnn")
    print(vb.attack(vb.attacks.PGD(vb.Linf(0.1)), model, vb.data.load("digits/test").take(256)))

Everything is imported when first used, so that `import vauban` costs nothing.
"""

from __future__ import annotations

from vauban.core.face import face

__version__ = "0.2.0"

face(
    __name__,
    extras={
        "Attack": "vauban.engine.attack:Attack",
        "Ball": "vauban.core.norms:Ball",
        "Batch": "vauban.core.contracts:Batch",
        "Card": "vauban.core.cards:Card",
        "Certificate": "vauban.certificates.base:Certificate",
        "Dataset": "vauban.data.dataset:Dataset",
        "Defended": "vauban.core.cards:Defended",
        "InputDefence": "vauban.defences.base:InputDefence",
        "L0": "vauban.core.norms:L0",
        "L1": "vauban.core.norms:L1",
        "L2": "vauban.core.norms:L2",
        "LeastLikely": "vauban.core.goals:LeastLikely",
        "Linf": "vauban.core.norms:Linf",
        "Norm": "vauban.core.norms:Norm",
        "Oracle": "vauban.engine.oracle:Oracle",
        "Point": "vauban.engine.iterate:Point",
        "RandomWrong": "vauban.core.goals:RandomWrong",
        "Result": "vauban.engine.result:Result",
        "Steps": "vauban.engine.iterate:Steps",
        "Secret": "vauban.core.secret:Secret",
        "Study": "vauban.evaluate.study:Study",
        "Targeted": "vauban.core.goals:Targeted",
        "TrainingRun": "vauban.training.run:TrainingRun",
        "Untargeted": "vauban.core.goals:Untargeted",
        "attack": "vauban.evaluate.attack:attack",
        "attackbench": "vauban.evaluate.attackbench:attackbench",
        "attackbench_attacks": "vauban.evaluate.attackbench:attackbench_attacks",
        "attacks": "vauban.attacks",
        "auto": "vauban.core.losses:auto",
        "certificates": "vauban.certificates",
        "certify": "vauban.certificates.certify:certify",
        "cross_entropy": "vauban.core.losses:cross_entropy",
        "data": "vauban.data",
        "defences": "vauban.defences",
        "fit": "vauban.evaluate.fit:fit",
        "load": "vauban.words:load",
        "margin": "vauban.core.losses:margin",
        "measure": "vauban.evaluate.measure:measure",
        "metrics": "vauban.metrics",
        "models": "vauban.models",
        "threats": "vauban.threats",
        "train": "vauban.evaluate.train:train",
        "verify": "vauban.evaluate.verify:verify",
        "verify_attack": "vauban.evaluate.planted.verify_attack:verify_attack",
    },
)

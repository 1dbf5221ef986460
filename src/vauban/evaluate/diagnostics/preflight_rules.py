"""The rules of the preflight: thresholds with their reasons, and the words of the findings.

Calibrated on digits networks (clean, PGD-trained, with batch normalisation, linear; several seeds), all of which must
stay silent, and on the positive controls of tests/evaluate/test_preflight_controls.py, which must speak.
"""

from __future__ import annotations

from vauban.evaluate.diagnostics.findings import Rule

SUBSET = 32  # samples that diagnostics run on
REPEAT = 1e-4  # relative change between two answers that is more than rounding (AutoAttack's check uses the same)
BATCH = 1e-2  # the same between batch sizes: TF32 convolutions differ by about 1e-3 between their kernels
DEAD = 1e-3  # a margin gradient predicting less than this part of the logits' spread from a move across all of [0,1]
CONSTANT = 1e-6  # relative change of the logits below which a step has changed nothing
FOLLOWS = 0.25  # least part of the predicted slope that a differentiable network shows when stepping along the gradient
UNMEASURABLE = 1e-5  # predicted changes below this part of the logits drown in float32 rounding
WIDE = 50.0  # gap of the two largest logits: the softmax of the second is 2e-22, gone from any float32 sum with 1
RADIUS, POINTS, ROUGH = 8 / 255, 10, 0.5  # neighbourhood, its samples, relative change of the margin that is unstable

RANDOM_UNDECLARED = Rule(
    "undeclared-randomness",
    "invalid",
    0.05,
    "a deterministic network repeats every sample's logits; noise moves all of them",
    "changed {their} logits by more than 1e-4 (relative) between two calls on the same image, and nothing declares the "
    "model random: a lucky draw would count as a success.",
    "declare it (threat with random=True, or a defence whose card says so) and attack with the adaptive threat with eot",
)
RANDOM_DECLARED = Rule(
    "declared-randomness",
    "info",
    0.05,
    "as for undeclared randomness",
    "changed {their} logits between two calls on the same image, as declared; the threat averages {draws} draw(s) per "
    "gradient and the verdict takes fresh ones.",
    "use the adaptive threat with eot, and repeat with more draws",
)
UNDECLARED_REJECTION = Rule(
    "undeclared-rejection",
    "warning",
    0.0,
    "a fact of the model, not a measurement",
    "{get} {logits:logit} from a model on data of {classes:class}: if the last one means 'rejected', an attack that is "
    "rejected now counts as a success.",
    "say so: --rejects, rejects=True, or a card with rejects=True; leave it if the last class is one like the others",
)
ANSWERED_LAST = Rule(
    "suspected-rejection",
    "warning",
    0.5,
    "an attack on images of several classes ends in several others; a last class that takes most of them and that no label "
    "and no answer before the attack names is like no class",
    "of those that were fooled {get} the last of {logits:logit}, which is no label of this batch and no answer before the "
    "attack: if it means 'rejected', an attack that is rejected now counts as a success.",
    "say so: rejects=True, or a card with rejects=True; leave it if the last class is one like the others",
)
NOT_FINITE = Rule(
    "not-finite",
    "invalid",
    0.0,
    "no share of NaN or infinite logits is usable; three samples exclude a corrupt image",
    "{have} NaN or infinite logits: no label, loss or gradient there means anything.",
    "repair the model (overflow, division by zero) before attacking it",
)
PROBABILITIES = Rule(
    "probabilities",
    "warning",
    0.9,
    "logits fall in [0,1] and sum to 1 only by accident; a softmax does so for every sample",
    "came back as probabilities (in [0,1], summing to 1) and not as logits: the losses apply a second softmax, which "
    "flattens the gradients.",
    "remove the final softmax, or return its logarithm",
)
ONE_HOT = Rule(
    "one-hot",
    "warning",
    0.9,
    "a few samples of a saturated softmax look one-hot; a label-only model always does",
    "came back one-hot, a label and no scores: the loss is flat almost everywhere.",
    "attack the scores before the vote or argmax, or use a labels-only attack (hopskipjump)",
)
FEW_CLASSES = Rule(
    "few-classes",
    "info",
    0.0,
    "a fact of the model, not a measurement",
    "{have} only {classes:class}: the DLR loss needs at least 3 (targeted 4), with fewer its denominator is a stand-in.",
    "use loss=margin in place of dlr",
)
NO_GRADIENTS = Rule(
    "no-gradients",
    "invalid",
    0.1,
    "autograd either reaches the image or it does not",
    "{have} no gradient with respect to the image: {cause}. Gradient attacks do nothing here.",
    "use the adaptive threat (a substitute gradient, BPDA) or a scores-only attack (square)",
)
ZERO_GRADIENTS = Rule(
    "zero-gradients",
    "invalid",
    0.1,
    "networks with gradients show no such sample in calibration, a dead unit here and there may; killers show nearly all",
    "{have} a zero or vanishing gradient, of the margin as well as of the cross-entropy: gradient attacks stand still.",
    "use the adaptive threat (BPDA for what rounds or saturates) or a scores-only attack (square)",
)
SATURATED_LOSS = Rule(
    "saturated-loss",
    "warning",
    0.1,
    "float32 cross-entropy gradients vanish exactly only beyond a logit gap of about 100, where clean networks have none",
    "{have} a cross-entropy gradient of exactly zero while the margin's is not: the softmax is saturated.",
    "use loss=margin, dlr or auto",
)
LOGIT_SCALE = Rule(
    "logit-scale",
    "warning",
    0.25,
    "confident networks reach gaps of 10 to 30 between the two largest logits",
    "{have} a gap above 50 between {their} two largest logits: cross-entropy in float32 sees only part of the gradient.",
    "use loss=margin, dlr or auto, or divide the logits by a constant",
)
TEST_TIME_OPTIMISATION = Rule(
    "test-time-optimisation",
    "warning",
    0.0,
    "a fact of the forward pass, not a measurement",
    "{are} classified by a model that differentiates inside its forward pass (test-time optimisation): the attack's "
    "gradient treats the outcome of that optimisation as a constant or differentiates only its last steps.",
    "differentiate through the unrolled optimisation, or attack the undefended network and transfer",
)
PIECEWISE_CONSTANT = Rule(
    "piecewise-constant",
    "warning",
    0.3,
    "smooth networks always answer to a small move of every pixel; rounding answers only in pixels next to a jump",
    "kept exactly the same logits when every pixel moved a little: the true gradient is zero there.",
    "use the adaptive threat (BPDA through the rounding) or a scores-only attack (square)",
)
ROUNDED_WITH_RULE = Rule(
    "rounded-with-substitute",
    "info",
    0.3,
    "as for piecewise-constant",
    "kept exactly the same logits when every pixel moved a little, and the attack follows a substitute gradient (BPDA).",
    "compare with a scores-only attack (square): a substitute can be a bad one",
)
GRADIENT_MISMATCH = Rule(
    "gradient-mismatch",
    "warning",
    0.3,
    "networks with kinks fall short of the predicted slope here and there; wrong gradients do so nearly always",
    "gained less than a quarter of what the gradient predicts from a small step along it: it is not the gradient of this "
    "function.",
    "use the adaptive threat with another substitute gradient, or a scores-only attack (square)",
)
FLAT_SCORES = Rule(
    "flat-scores",
    "warning",
    0.3,
    "scores of a network in floating point change with every pixel; rounded ones of a confident network do not",
    "kept exactly the same scores at 10 random points around: scores this coarse show an attack nothing to follow.",
    "attack by labels beside it: --attack rays, --attack hopskipjump, or standard, which ends with one of them",
)
TARGET_HIDDEN = Rule(
    "target-score-hidden",
    "warning",
    0.1,
    "a fact of what the network tells of the originals; the target comes up only near the boundary",
    "{have} a target whose score is not among those that the network tells: an attack by scores does not see it rise.",
    "use an untargeted goal, or an attack by labels that starts at an image of the target",
)
NOTHING_TO_ADAPT = Rule(
    "nothing-to-adapt",
    "info",
    0.0,
    "a fact of the cards, not a measurement",
    "{are} attacked by a threat that follows cards, and no card prescribes anything: it is white-box.",
    "use --threat auto, or write a card with what the operations of the defence need",
)
UNSTABLE = Rule(
    "unstable-predictions",
    "warning",
    0.3,
    "samples near the decision boundary are always unstable (SqueezeNet: one in six); a rough surface makes most so",
    "{change} {their} margin by more than half, on average, in a random neighbourhood of 8/255: the loss is too rough for "
    "one gradient to be followed.",
    "average gradients over random neighbours (eot), use more restarts and a scores-only attack (square)",
)
BATCH_DEPENDENT = Rule(
    "batch-dependent",
    "invalid",
    0.1,
    "rounding differs between batch sizes, the answer to an image must not",
    "got other logits alone than together with the rest of the batch: one image's result depends on its companions.",
    "use fixed statistics (track_running_stats=True, evaluation mode) or a batch size of 1",
)
LOW_ACCURACY = Rule(
    "low-accuracy",
    "warning",
    0.6,
    "when most clean images are already misclassified, rates under attack say little; of few classes, `NEAR_CHANCE` of "
    "what guessing gets wrong",
    "{are} misclassified before any attack, so rates under attack say little; are the weights loaded, and are labels, "
    "normalisation and class order those of the model?",
    "check the clean accuracy before reading any rate under attack",
)
NEAR_CHANCE = 0.8  # of the share that a guess among the classes gets wrong
EXTRA_CLASSES = Rule(
    "extra-classes",
    "warning",
    0.0,
    "a fact of model and data, not a measurement",
    "{get} {outputs:output} for data of {classes:class}: any of the other {extra} counts as a wrong label, and attacks "
    "may head for it.",
    "use the model of this data, or one whose outputs are its classes",
)
FITTED_ELSEWHERE = Rule(
    "fitted-elsewhere",
    "warning",
    0.0,
    "what was tuned through one network is another defence in front of another one",
    "{are} shown to a network behind {defence!r}, which was fitted to another network.",
    "fit it to this one: vauban fit --fitter {defence}:... --model MODEL --data SET/train --out FILE",
)
UNTRAINED = Rule(
    "untrained-statistics",
    "warning",
    0.0,
    "statistics that are exactly those of a new layer have never seen an image",
    "{are} answered by batch normalisation with the statistics of a new layer ({layers} of {total} layers): were the "
    "weights loaded?",
    "load the weights, or train the network first",
)

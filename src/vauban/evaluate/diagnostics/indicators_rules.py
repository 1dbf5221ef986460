"""The rules of the indicators: thresholds with their reasons, and the words of the findings.

Calibrated on the clean and the PGD-trained digits network (several seeds; PGD, APGD, DDN, FGSM, noise, Square), which
must stay silent, and on masked ones, which must speak: tests/evaluate/test_indicators*.py.
"""

from __future__ import annotations

from vauban.evaluate.diagnostics.findings import Rule

LATE, IMPROVED = 0.1, 0.05  # the last part of the steps, and the rise of the rescaled loss that is too much in it
CLOSER = 0.9  # a distance below this part of the former one is worth more steps
NOISES, HALF = (
    10,
    0.5,
)  # random points tried for each sample; their size where the attack itself looks for the nearest image

VERDICT = Rule(
    "verdict-disagrees",
    "invalid",
    0.02,
    "success is what the judged network says of the image, so any disagreement is an error; one may be rounding at a tie",
    "{are} judged otherwise by the attack than by the verdict: a success that is not confirmed, or an adversarial image "
    "called a failure.",
    "let the attack ask through the oracle, or declare the model random",
)
OUTSIDE = Rule(
    "outside-the-budget",
    "warning",
    0.0,
    "an attack that keeps to its budget hands over no image outside it",
    "{were} handed over outside the budget or outside [0,1], or {are} not finite: none of these counts as a success.",
    "give the attack the budget of the evaluation, and clip what it returns",
)
INCOMPLETE = Rule(
    "incomplete-optimisation",
    "warning",
    0.3,
    "with a step that does not shrink some samples always move on; an attack that was cut short leaves most of them rising",
    "withstood the attack while {their} loss was still rising in its last tenth of steps (by more than 0.05 of its range).",
    "use more steps, or a step size that shrinks (apgd)",
)
UNCONSTRAINED = Rule(
    "unconstrained-failure",
    "warning",
    0.05,
    "with the whole of [0,1] allowed every image can be replaced, so an attack that follows the loss fails on hardly any",
    "{are} not broken even when the attack may change the image without limit: it does not follow a useful gradient.",
    "use loss=auto or margin, the adaptive threat (BPDA, eot), or a scores-only attack (square)",
)
TRANSFER = Rule(
    "transfer-failure",
    "warning",
    0.1,
    "near a common boundary surrogate and target disagree on a few samples; above that the surrogate is a poor guide",
    "{are} broken on the network that gave the gradients and not on the one that is judged: the attack solved another "
    "problem.",
    "attack the judged network itself (white-box or adaptive), or use a surrogate nearer to it",
)
DOUBLED = Rule(
    "more-steps-help",
    "warning",
    0.05,
    "two runs of one attack differ on one or two samples in a hundred",
    "more {are} broken with twice the steps ({steps} in place of {half}): the attack had not converged.",
    "use more steps and report the number at which the result stops falling",
)
NEARER = Rule(
    "more-steps-nearer",
    "info",
    0.25,
    "a converged search for the nearest image gains a few percent of distance from more steps",
    "{are} broken at less than 0.9 of the distance with twice the steps ({steps} in place of {half}).",
    "use more steps",
)
NOISE = Rule(
    "noise-beats-attack",
    "invalid",
    0.02,
    "what ten random points of a ball find, an attack that follows the loss finds there too, but for one or two samples",
    "{are} broken by random noise of the attack's own size and not by the attack.",
    "use loss=auto or margin, the adaptive threat (BPDA, eot), or a scores-only attack (square)",
)
NOISE_NEARER = Rule(
    "noise-nearer-than-attack",
    "warning",
    0.06,
    "a short search (DDN, 20 steps) is this coarse on three samples in 64, those next to the boundary; one that follows a "
    "wrong gradient on five and more",
    "{are} broken by random noise of half the distance that the attack needed: it is far from the nearest image.",
    "use more steps, loss=auto or margin, or the adaptive threat (BPDA, eot)",
)
ONE_STEP = Rule(
    "one-step-beats-iterative",
    "warning",
    0.04,
    "an iterative attack contains the one-step one up to luck, which is worth up to three samples in a hundred",
    "{are} broken by one step and not by many steps at {norm} {eps:.4g}: the loss surface misleads the iterations.",
    "use loss=margin, restarts and smaller steps; suspect masked gradients and run a scores-only attack (square)",
)
BLACK_BOX = Rule(
    "black-box-beats-white-box",
    "warning",
    0.06,
    "on sound networks Square finds up to four in a hundred that PGD leaves, on masked ones ten and more; the 0.2 "
    "points of AutoAttack's flag suppose its whole battery",
    "{are} broken by {attack} without gradients and not by the attacks with gradients at {norm} {eps:.4g}: gradients are "
    "masked, or the attacks that use them are weak.",
    "use the adaptive threat (BPDA, eot) and report the worst case over all attacks",
)
NOISE_CELL = Rule(
    "noise-beats-gradients",
    "invalid",
    0.02,
    NOISE.because,
    "{are} broken by random noise and not by {attack} at {norm} {eps:.4g}.",
    NOISE.advice,
)
TRANSFER_CELL = Rule(
    "transfer-beats-white-box",
    "warning",
    0.02,
    "the judged network's own gradients are the better guide on all but one or two samples in a hundred",
    "{are} broken with the gradients of another network ({attack}) and not with the model's own at {norm} {eps:.4g}: the "
    "model's own gradients are the worse guide.",
    "use the adaptive threat (BPDA, eot) and report the worst case over all attacks",
)
NOT_FINITE_ANSWERS = Rule(
    "not-finite-answers",
    "warning",
    0.0,
    "a label is read from finite logits; a single answer without one is an error of the network that must be known",
    "{have} NaN or infinite logits, {before} before the attack and {after} after it alone: errors of the network, the "
    "latter broken by the attack.",
    "repair the model (overflow, division by zero); the columns clean_not_finite and not_finite say which images these "
    "are",
    least=1,
)
AUDIT_PENDING = Rule(
    "audit-pending",
    "invalid",
    0.0,
    "the triage of an attack can be fooled, so that what it spared counts only once a sample of it was audited",
    "{were} spared by the attack and {are} still to be audited.",
    "run the same command again",
    least=1,
)
AUDIT_MISSES = Rule(
    "audit-misses",
    "info",
    0.0,
    "a triage that works spares no sample that the whole attack breaks; after a single one all that stand are audited",
    "that the attack had spared {were} broken by all of it: every image that stood was given all of it.",
    "take effort=full for this network",
    least=1,
)

UNSOLVED = Rule(
    "smoothing-not-converged",
    "warning",
    0.02,
    "solves meet their tolerance on every image, or miss it on the one image of a hundred whose graph is hardest",
    "{were} attacked with smoothing solves that missed their tolerance ({solves:.3g} solves each): {their} images are "
    "valid and judged like any other, but rougher than the smoothness asked for, and the direction was not the exact one.",
    "raise limit (iterations of a solve) or tol; in float32 no residual below about 1e-7 / (1 - smoothness) can be shown",
)
ANSWERS_MOVED = Rule(
    "answers-moved",
    "invalid",
    0.0,
    "a network that stays the same answers the same image alike",
    "{get} another label at the end of the run than when {they} {were} attacked: the rows are of more than one network.",
    "ask whether the service was updated, and run again into another --out",
    least=1,
)
SCORES_MOVED = Rule(
    "scores-moved",
    "warning",
    0.0,
    "a network that stays the same answers the same image alike, but for the last bits of a sum",
    "{get} other scores at the end of the run than at its start, though the same label.",
    "ask whether the service was updated or rounds differently between machines",
    least=1,
)
NONFINITE_GRADIENTS = Rule(
    "nonfinite-gradients",
    "warning",
    0.0,
    "a network that can be differentiated at its images gives no such gradient; three samples exclude a freak",
    "{were} attacked with image gradients that had NaN or infinite components ({gradients:.3g} gradients each): these "
    "counted as zero, so the attack moves these pixels late or not at all.",
    "make the network differentiable there, as by sqrt(x + 1e-6) or log(x + 1e-6) for a root or logarithm of pixels",
)
NOT_MONOTONE = Rule(
    "not-monotone",
    "warning",
    0.02,
    "what is broken in a ball can be broken in a larger one; separate runs lose a sample in a hundred to luck",
    "{are} broken at {norm} {small:.4g} and not at {eps:.4g} by the same attack: the larger run failed where a solution is "
    "known.",
    "use more steps at the larger eps, or the smallest eps of each sample (a search) in place of separate runs",
)

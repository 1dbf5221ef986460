"""Rules on the parameters of an attack and on what it did: thresholds with their reasons, and the words of findings."""

from __future__ import annotations

from vauban.evaluate.diagnostics.findings import Rule

RADIUS_ABOVE_RANGE = Rule(
    "radius-above-range",
    "warning",
    0.0,
    "a fact of the attack, not a measurement",
    "{are} attacked within {norm} {eps:g}, which is larger than the whole range [0,1] of pixels ({most:.4g}): every image "
    "is allowed.{hint}",
    "give the radius in pixel units of [0,1]",
)
RADIUS_BELOW_LEVEL = Rule(
    "radius-below-level",
    "invalid",
    0.0,
    "a fact of the attack and the pixels, not a measurement",
    "{are} attacked within {norm} {eps:.3g}, which is less than one of {levels} pixel levels ({level:.3g}): no image but "
    "the original can be saved.",
    "use a radius of at least one level, or images that are not rounded (--unrounded, levels=None)",
)
EDGE_OUT_OF_REACH = Rule(
    "edge-out-of-reach",
    "warning",
    0.0,
    "a fact of the attack, not a measurement",
    "{are} attacked in {steps:step} of {step:.3g}, {path:.3g} together, which do not reach the edge of the ball of "
    "{eps:.3g}.",
    "use more steps or a larger step; rel_stepsize is a share of eps, abs_stepsize is in pixel units of [0,1]",
)
STEP_BELOW_HALF_LEVEL = Rule(
    "step-below-half-level",
    "warning",
    0.0,
    "a fact of the attack and the pixels, not a measurement",
    "{are} attacked in steps of {step:.3g}, below half of one of {levels} pixel levels ({level:.3g}): most steps show "
    "the network the image that it has just seen.",
    "use a larger step; rel_stepsize is a share of eps, abs_stepsize is in pixel units of [0,1]",
)
NOTHING_ASKED = Rule(
    "nothing-asked",
    "invalid",
    0.5,
    "an attack asks the network at least once, unless a query budget ends it or it needs nothing",
    "{were} attacked without a single question to the network.",
    "look at the parameters of the attack and at the query budget",
)
NOTHING_CHANGED = Rule(
    "nothing-changed",
    "invalid",
    0.99,
    "an attack that tries something on every image changes some of them, also where it fails",
    "{were} left as {they} {are}: the numbers are those of clean images.",
    "look at the parameters of the attack (eps, steps, mask), at the query budget and at the gradients",
)

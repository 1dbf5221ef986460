"""Networks that more than one paper attacks, and the small ones that stand in for them on two cores.

In a model spec `{weights}` is the folder of the packaged weights and `{data}` the data root.
"""

from __future__ import annotations

from vauban.training.run import TrainingRun

INCEPTION_V3 = "timm:name=inception_v3.tf_in1k,pretrained=true"
INCEPTION_V3_ADVERSARIAL = "timm:name=inception_v3.tf_adv_in1k,pretrained=true"

SQUEEZENET = "squeezenet:weights={data}/imagenet/squeezenet1_0.safetensors"
"""SqueezeNet 1.0 on ImageNet, in place of an Inception."""

BRANCHED, SEPARABLE, DENSE, PLAIN, RESIDUAL = (
    f"{architecture}:weights={{weights}}/{architecture}.safetensors"
    for architecture in ("small-branched", "small-separable", "small-dense", "small-plain", "small-residual")
)
"""Five architectures of about 0.2 million parameters on CIFAR-10; PLAIN and RESIDUAL are adversarially trained."""

C4 = TrainingRun("mnist-c4", "mnist/train", 6, holdout=0, minutes=3)
"""The MNIST network of H. Zhang's thesis."""

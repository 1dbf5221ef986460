"""SqueezeNet v1.0 (Iandola et al. 2016, arXiv:1602.07360) with Deep Compression's weights in torchvision's layout."""

from __future__ import annotations

from vauban.models import registry
from vauban.models.layers import Classes
from vauban.models.wrap import Normalised

MEAN = (123 / 255, 117 / 255, 104 / 255)
STD = 1 / 255


@registry.register("squeezenet", weights="file", data="imagenet", crop=227)
def squeezenet(classes: Classes = 1000) -> Normalised:
    """SqueezeNet 1.0 for 227x227 RGB images; inside, 255 x - (123, 117, 104) as the Caffe original was trained."""
    from torchvision.models import squeezenet1_0

    return Normalised(squeezenet1_0(weights=None, num_classes=classes), MEAN, STD)

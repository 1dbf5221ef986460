"""Metrics of a pair (original, image): distances and similarity, one float64 value per sample; metrics of a network; and
views of one image."""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry
from vauban.metrics.declared import declare

registry: Registry[Any] = Registry("metric", "vauban.metrics", declare)
"""Facts: `unit`; `direction`, whether the values nearer to the original are the "lower" or the "higher" ones;
`aggregate`, how the values of many images become one ("mean" or "median"); `reads`, what it is a function of ("pair": the
original and the image)."""

network_registry: Registry[Any] = Registry("network metric", "vauban.metrics.of_network")
"""Metrics of a network, one value for each image: classes of `metrics.of_network.base.NetworkMetric`."""

face(
    __name__,
    registry,
    network_registry,
    extras={
        "COLUMNS": "vauban.metrics.sample:COLUMNS",
        "MeasuredBatch": "vauban.metrics.of_network.base:MeasuredBatch",
        "Metric": "vauban.metrics.base:Metric",
        "NetworkMetric": "vauban.metrics.of_network.base:NetworkMetric",
        "Perception": "vauban.metrics.lpips:Perception",
        "load": "vauban.words.metric:load",
        "gradient_magnitude": "vauban.metrics.gradient_magnitude:gradient_magnitude",
        "magnify": "vauban.metrics.magnify:magnify",
        "measure": "vauban.metrics.sample:measure",
        "Power": "vauban.metrics.two_sample:Power",
        "TwoSampleTest": "vauban.metrics.two_sample:TwoSampleTest",
        "two_sample_power": "vauban.metrics.two_sample:two_sample_power",
        "two_sample_test": "vauban.metrics.two_sample:two_sample_test",
        "torchvision_lpips": "vauban.metrics.lpips:torchvision_lpips",
    },
)

"""Certificates of a run directory: what their rows and facts hold."""

from __future__ import annotations

import pyarrow as pa

from vauban.store.job_rows import RowKind

# `label` is the answer on the image, -1 where it is withheld; `certified` the class that is certified, -1 for none, and
# `radius` the L-p radius, 0 for none. `votes` and `p_low` are of randomised smoothing. `wrong_at` is the distance of the
# nearest attacked image at which the answer is not y, withheld answers included, 0 where that is so of the image itself and
# inf where there is none; `other_at` that of the nearest at which a class other than the certified one is answered. Null
# where nothing was attacked.
CERTIFICATES = RowKind(
    "certificates",
    "certificate.json",
    pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("y", pa.int64(), nullable=False),
            pa.field("label", pa.int64(), nullable=False),
            pa.field("certified", pa.int64(), nullable=False),
            pa.field("radius", pa.float64(), nullable=False),
            pa.field("votes", pa.int64()),
            pa.field("p_low", pa.float64()),
            pa.field("wrong_at", pa.float64()),
            pa.field("other_at", pa.float64()),
        ]
    ),
    frozenset({"certificate", "claim", "norm", "model", "defence", "data", "n"}),
)

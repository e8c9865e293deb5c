"""Pure functions over tensors: search, k-means, draws, losses, gradients, usage."""

from codeword.functional.bit_entropy import bit_entropy
from codeword.functional.bits import (
    join_indices,
    pack_bits,
    regroup_bits,
    relayout,
    split_indices,
    to_bits,
    to_indices,
    ungroup_bits,
    unpack_bits,
)
from codeword.functional.blocked import over_blocks
from codeword.functional.hold import hold
from codeword.functional.kmeans import kmeans, lloyd
from codeword.functional.losses import squared_error
from codeword.functional.nearest import Prepared, nearest, prepare, search
from codeword.functional.progressive import progressive_kmeans
from codeword.functional.random import Draws, Stream, new_seed
from codeword.functional.segment_sum import segment_sum
from codeword.functional.substitute import substitute
from codeword.functional.usage import Usage, UsageCounter, usage, usage_of_hits
from codeword.functional.valid import Valid, in_range

__all__ = [
    "Draws",
    "Prepared",
    "Stream",
    "Usage",
    "UsageCounter",
    "Valid",
    "bit_entropy",
    "hold",
    "in_range",
    "join_indices",
    "kmeans",
    "lloyd",
    "nearest",
    "new_seed",
    "over_blocks",
    "pack_bits",
    "prepare",
    "progressive_kmeans",
    "regroup_bits",
    "relayout",
    "search",
    "segment_sum",
    "split_indices",
    "squared_error",
    "substitute",
    "to_bits",
    "to_indices",
    "ungroup_bits",
    "unpack_bits",
    "usage",
    "usage_of_hits",
]

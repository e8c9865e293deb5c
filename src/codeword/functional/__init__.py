"""Pure functions over tensors: search, k-means, draws, losses, gradients, usage."""

from codeword.constants import bit_table, constant
from codeword.functional.bit_entropy import bit_entropy
from codeword.functional.bits import (
    join_indices,
    pack_bits,
    regroup_bits,
    regroup_levels,
    relayout,
    split_indices,
    to_bits,
    to_indices,
    ungroup_bits,
    unpack_bits,
)
from codeword.functional.blocked import over_blocks
from codeword.functional.clone_for_backward import clone_for_backward
from codeword.functional.gradients import (
    directional,
    directional_surrogate,
    rotate,
    rotated,
    straight_through,
    vector_quantize,
)
from codeword.functional.kmeans import kmeans, lloyd
from codeword.functional.losses import squared_error, sum_of
from codeword.functional.moments import moments, scatter_matrix, with_ridge
from codeword.functional.nearest import Prepared, nearest, prepare, search
from codeword.functional.principal import PrincipalComponents
from codeword.functional.progressive import progressive_kmeans
from codeword.functional.random import Key, Purpose
from codeword.functional.replace_gradient import replace_gradient, wants_gradient
from codeword.functional.segment_sum import segment_sum
from codeword.functional.usage import Usage, UsageCounter, usage, usage_of_counts
from codeword.functional.valid import Valid, all_known, in_range, none_known

__all__ = [
    "Key",
    "Prepared",
    "PrincipalComponents",
    "Purpose",
    "Usage",
    "UsageCounter",
    "Valid",
    "all_known",
    "bit_entropy",
    "bit_table",
    "clone_for_backward",
    "constant",
    "directional",
    "directional_surrogate",
    "in_range",
    "join_indices",
    "kmeans",
    "lloyd",
    "moments",
    "nearest",
    "none_known",
    "over_blocks",
    "pack_bits",
    "prepare",
    "progressive_kmeans",
    "regroup_bits",
    "regroup_levels",
    "relayout",
    "replace_gradient",
    "rotate",
    "rotated",
    "scatter_matrix",
    "search",
    "segment_sum",
    "split_indices",
    "squared_error",
    "straight_through",
    "sum_of",
    "to_bits",
    "to_indices",
    "ungroup_bits",
    "unpack_bits",
    "usage",
    "usage_of_counts",
    "vector_quantize",
    "wants_gradient",
    "with_ridge",
]

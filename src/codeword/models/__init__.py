"""Operations on all quantizers of a model."""

from codeword.models.change import anneal, disabled
from codeword.models.evolution import Generation, evolve
from codeword.models.find import codebook_parameters, find_codebooks, find_quantizers
from codeword.models.freezing import freeze
from codeword.models.learning import learn_now, paused, weighted
from codeword.models.optimise import parameter_groups, reset_moments
from codeword.models.parallel import accumulate, finish_sharding
from codeword.models.resizing import resize
from codeword.models.warm_up import warm_up

__all__ = [
    "Generation",
    "accumulate",
    "anneal",
    "codebook_parameters",
    "disabled",
    "evolve",
    "find_codebooks",
    "find_quantizers",
    "finish_sharding",
    "freeze",
    "learn_now",
    "parameter_groups",
    "paused",
    "reset_moments",
    "resize",
    "warm_up",
    "weighted",
]

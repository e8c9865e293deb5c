"""The state that learns: codebooks, grids with usage counts, and the random key."""

from codeword.codebooks.codebook import Codebook
from codeword.codebooks.grid import Grid
from codeword.codebooks.rng import Rng

__all__ = ["Codebook", "Grid", "Rng"]

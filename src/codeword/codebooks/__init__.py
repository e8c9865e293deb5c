"""What learns: a codebook of codes, a grid that counts, and the random key beside them."""

from codeword.codebooks.codebook import Codebook
from codeword.codebooks.grid import Grid
from codeword.codebooks.rng import Rng

__all__ = ["Codebook", "Grid", "Rng"]

"""Codebooks from vectors, without a network: fitted, refined, balanced, measured."""

from codeword.fitting.balance import balance
from codeword.fitting.fit import fit
from codeword.fitting.rates import Collisions, RatePoint, collisions, rate_distortion

__all__ = ["Collisions", "RatePoint", "balance", "collisions", "fit", "rate_distortion"]

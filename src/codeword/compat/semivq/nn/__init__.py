"""The layers of semivq."""

from codeword.compat.semivq.nn.vq import VectorQuant

__all__ = ["VectorQuant"]

"""semivq (Soft-discretization) on codeword: `semivq.nn.vq.VectorQuant` with its three approaches.

What is different from the original, and what to write instead without this facade: `docs/moving/semivq.md`.
"""

from codeword.compat.semivq import nn

__all__ = ["nn"]

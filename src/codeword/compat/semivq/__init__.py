"""semivq (Soft-discretization) on codeword: `semivq.nn.vq.VectorQuant` with its three approaches.

`docs/moving/semivq.md` lists the differences from the original, and the calls of codeword that replace it.
"""

from codeword.compat.semivq import nn

__all__ = ["nn"]

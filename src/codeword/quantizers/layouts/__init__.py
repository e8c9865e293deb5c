"""Quantizers that cut sequences and pictures into pieces.

A vector for each step needs no layout: give `dim=1` to any quantizer.
"""

from codeword.quantizers.layouts.base import Layout
from codeword.quantizers.layouts.patches import Patches
from codeword.quantizers.layouts.sequences import Blockwise, Channelwise

__all__ = ["Blockwise", "Channelwise", "Layout", "Patches"]

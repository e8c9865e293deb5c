"""Published measures of quality, and the protocol that makes figures comparable."""

from codeword.workbench.measuring.base import Measure, SetMeasure
from codeword.workbench.measuring.chosen import MeasureOptions, choose
from codeword.workbench.measuring.protocol import Fitted, digest_of

__all__ = ["Fitted", "Measure", "MeasureOptions", "SetMeasure", "choose", "digest_of"]

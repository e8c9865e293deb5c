"""When a code is dead, and where it goes."""

from codeword.parts.revivals.below import Below
from codeword.parts.revivals.budget import Budget
from codeword.parts.revivals.relative import Relative
from codeword.parts.revivals.split import Split
from codeword.parts.revivals.stale import Stale

__all__ = ["Below", "Budget", "Relative", "Split", "Stale"]

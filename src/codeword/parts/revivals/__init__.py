"""When codes are dead, and where they move."""

from codeword.parts.revivals.below_budget import BelowBudget
from codeword.parts.revivals.below_count import BelowCount
from codeword.parts.revivals.below_share import BelowShare
from codeword.parts.revivals.split import Split
from codeword.parts.revivals.stale import Stale

__all__ = ["BelowBudget", "BelowCount", "BelowShare", "Split", "Stale"]

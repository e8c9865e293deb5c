"""When codes are dead, and where they move."""

from codeword.revivals.below_budget import BelowBudget
from codeword.revivals.below_count import BelowCount
from codeword.revivals.below_share import BelowShare
from codeword.revivals.split import Split
from codeword.revivals.stale import Stale

__all__ = ["BelowBudget", "BelowCount", "BelowShare", "Split", "Stale"]

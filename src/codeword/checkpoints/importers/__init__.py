"""Foreign state dictionaries become quantizers: one key table for each library, read in both directions."""

from codeword.checkpoints.importers.convert import LIBRARIES, convert, convert_back, read_into
from codeword.checkpoints.importers.library import Library
from codeword.checkpoints.importers.replace import Replaced, replace_quantizers
from codeword.checkpoints.importers.table import KeyTable, Row, dropped, joined, kept, made, renamed

__all__ = [
    "LIBRARIES",
    "KeyTable",
    "Library",
    "Replaced",
    "Row",
    "convert",
    "convert_back",
    "dropped",
    "joined",
    "kept",
    "made",
    "read_into",
    "renamed",
    "replace_quantizers",
]

"""Token files: images, audio and vectors as code numbers, in ordinary Parquet.

Reading one needs neither weights nor a model, but pyarrow (`pip install "codeword[tokens]"`).
"""

from __future__ import annotations

from codeword.tokens.constrained import ValidIds
from codeword.tokens.delay import delay_pattern, undo_delay_pattern
from codeword.tokens.folder import TokenFolder, read_tokens, shard_name
from codeword.tokens.header import FORMAT_VERSION, GRIDS, SIZES, Header
from codeword.tokens.names import check_name
from codeword.tokens.reader import TokenFile, Verify
from codeword.tokens.trie import PrefixTrie
from codeword.tokens.vocabulary import IdVocabulary
from codeword.tokens.words import Order, Vocabulary
from codeword.tokens.writer import TokenWriter, write_tokens

__all__ = [
    "FORMAT_VERSION",
    "GRIDS",
    "SIZES",
    "Header",
    "IdVocabulary",
    "Order",
    "PrefixTrie",
    "TokenFile",
    "TokenFolder",
    "TokenWriter",
    "ValidIds",
    "Verify",
    "Vocabulary",
    "check_name",
    "delay_pattern",
    "read_tokens",
    "shard_name",
    "undo_delay_pattern",
    "write_tokens",
]

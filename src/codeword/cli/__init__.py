"""The command `codeword`: train a tokenizer, turn pictures into tokens and back, measure it."""

from codeword.cli.entry import main

__all__ = ["main"]

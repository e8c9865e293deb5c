"""Replacement of codes that are not used."""

from codeword.compat.vqtorch.nn.utils.replace import lru_replacement

__all__ = ["lru_replacement"]

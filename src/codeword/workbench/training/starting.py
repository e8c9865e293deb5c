"""A run that starts from the weights of another."""

from __future__ import annotations

from pathlib import Path

from codeword.checkpoints import load
from codeword.errors import CodewordError
from codeword.tokenizers import Networks, Tokenizer

__all__ = ["start_from"]


def start_from(tokenizer: Tokenizer, folder: Path, networks: Networks | None = None) -> None:
    """Give a fresh tokenizer the weights, the codes and the statistics of the codebook of another run's.

    Raises:
        CodewordError: there is none in the folder, or one of another kind or other sizes.
    """
    other = load(folder, networks)
    if not isinstance(other, Tokenizer) or type(other) is not type(tokenizer):
        expected, got = f"a {type(tokenizer).__name__} to start from", f"a {type(other).__name__} in {folder}"
        raise CodewordError.of(expected, got, "name a run on data of the same kind")
    wanted, found = ({**t.config(), "networks": None} for t in (tokenizer, other))
    for name in sorted(wanted):
        if wanted[name] != found.get(name):
            expected = f"{name} {found.get(name)}, as in {folder}, to start from its weights"
            raise CodewordError.of(expected, f"{wanted[name]}", "leave that out, or start without --from")
    tokenizer.load_state_dict(other.state_dict())

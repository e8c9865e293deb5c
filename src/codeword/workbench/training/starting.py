"""A run that starts from the weights of another."""

from __future__ import annotations

from pathlib import Path

from codeword.checkpoints import load
from codeword.errors import CodewordError
from codeword.tokenizers import Networks, Tokenizer

__all__ = ["check_start", "start_from"]


def start_from(tokenizer: Tokenizer, folder: Path, networks: Networks | None = None) -> None:
    """Copy the weights, codes and codebook statistics of another run into a new tokenizer.

    Raises:
        CodewordError: the folder has no tokenizer, or one of another kind or other sizes.
    """
    other = _of_kind(folder, tokenizer.kind, networks)
    wanted, found = ({**t.config(), "networks": None} for t in (tokenizer, other))
    for name in sorted(wanted):
        if wanted[name] != found.get(name):
            expected = f"{name} {found.get(name)}, as in {folder}, to start from its weights"
            raise CodewordError.of(expected, f"{wanted[name]}", "leave that out, or start without --from")
    tokenizer.load_state_dict(other.state_dict())


def check_start(folder: Path, kind: str, networks: Networks | None = None) -> None:
    """Raise unless a run is of data of a kind, before its settings are read as those of this kind.

    Raises:
        CodewordError: it is of another kind.
    """
    _of_kind(folder, kind, networks)


def _of_kind(folder: Path, kind: str, networks: Networks | None) -> Tokenizer:
    found = load(folder, networks)
    if not isinstance(found, Tokenizer) or found.kind != kind:
        got = f"one of {found.kind}" if isinstance(found, Tokenizer) else f"a {type(found).__name__}"
        expected, remedy = f"a tokenizer of {kind} to start from", "name a run on data of the same kind"
        raise CodewordError.of(expected, f"{got} in {folder}", remedy)
    return found

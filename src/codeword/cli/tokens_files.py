"""What the commands for token files share: opening them, and a result as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codeword.cli.console import Console
from codeword.cli.json_output import put_json

if TYPE_CHECKING:
    from codeword.tokens import TokenFile, TokenFolder

__all__ = ["opened", "put_result"]


def opened(
    path: Path, *, quiet: bool, verify: Literal["full", "seal"] = "seal"
) -> tuple[Console, TokenFile | TokenFolder]:
    """A console, and the token file or folder at a path."""
    from codeword.tokens import read_tokens

    console = Console(quiet=quiet)
    return console, read_tokens(path, lambda names: console.track(names, "opening"), verify=verify)


def put_result(result: dict[str, Any]) -> int:
    """Write one JSON object to stdout; the exit code."""
    put_json(result)
    return 0

"""The words of the command line as one command object."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, Union, runtime_checkable

import tyro

from codeword.cli.commands import COMMANDS, Runs
from codeword.errors import CodewordError
from codeword.version import __version__

__all__ = ["parse"]

DESCRIPTION = f"""codeword {__version__}: train tokenizers for pictures, sounds and vectors, encode and decode.

Start with `codeword demo`. With your own data: `codeword train FOLDER --out RUN`, then
`codeword encode RUN FOLDER --out tokens.parquet` and `codeword decode RUN tokens.parquet --out DECODED`.
`codeword COMMAND --help` explains each command. With --json they print one JSON object instead, for scripts.
`codeword --completion bash` (or zsh, fish) prints shell completion for this command:
source it in ~/.bashrc with `source <(codeword --completion bash)`."""

SHELLS = ("bash", "zsh", "fish")
STYLE = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.PositionalMetavarFromFieldName,
    tyro.conf.DisallowNone,
)


@runtime_checkable
class OverSettings(Runs, Protocol):
    """A command whose words are read over settings from elsewhere: those of a recipe or of an earlier run."""

    def over_settings(self) -> Any:
        """The same command with these settings."""


def parse(words: list[str]) -> Runs:
    """The command that the words name; no words ask for the help.

    Raises:
        SystemExit: 0 after printing help, 2 after printing what is wrong with the words.
    """
    if words[:1] == ["--completion"]:
        if words[1:] not in ([shell] for shell in SHELLS):
            got = " ".join(words[1:]) or "none"
            raise CodewordError.of(f"--completion with one of {', '.join(SHELLS)}", got, "name your shell")
        words = ["--tyro-print-completion", *words[1:]]
    cls = COMMANDS.get(words[0]) if words else None
    if cls is None:  # asked for help, or misspelt
        return _cli(_any_command(), "codeword", words or ["--help"], description=DESCRIPTION)
    prog, rest = f"codeword {words[0]}", words[1:]
    command = _cli(cls, prog, rest)
    if isinstance(command, OverSettings):
        # Read the words again over the settings that they are about: what still differs was asked for.
        return _cli(cls, prog, rest, default=command.over_settings())
    return command


def _any_command() -> Any:
    """One of the commands, each with the first line of what it says of itself."""
    named = (
        Annotated[cls, tyro.conf.subcommand(name, description=(cls.__doc__ or "").splitlines()[0])]
        for name, cls in COMMANDS.items()
    )
    return Union[tuple(named)]  # noqa: UP007


def _cli(kind: Any, prog: str, words: list[str], **options: Any) -> Runs:
    command: Runs = tyro.cli(kind, prog=prog, args=words, config=STYLE, **options)
    return command

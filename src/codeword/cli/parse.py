"""The words of the command line as one command object."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, Union, runtime_checkable

import tyro

from codeword.cli.commands import COMMANDS, Runs
from codeword.errors import CodewordError
from codeword.version import __version__

__all__ = ["parse"]

DESCRIPTION = f"""codeword {__version__}: learn to write pictures, sounds and vectors as tokens, and to read them back.

Start with `codeword demo`. With your own data: `codeword train FOLDER --out RUN`, then
`codeword encode RUN FOLDER --out tokens.parquet` and `codeword decode RUN tokens.parquet --out DECODED`.
`codeword COMMAND --help` explains each command. With --json they print one JSON object instead, for scripts.
`codeword --completion bash` (or zsh, fish) prints what completes these words in your shell:
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
    named = (Annotated[cls, tyro.conf.subcommand(name)] for name, cls in COMMANDS.items())
    one_of: Any = Union[tuple(named)]  # noqa: UP007
    command: Runs = tyro.cli(
        one_of, prog="codeword", description=DESCRIPTION, args=words or ["--help"], config=STYLE
    )
    if isinstance(command, OverSettings):
        # Read the words again over the settings that they are about: what still differs was asked for.
        again: Runs = tyro.cli(
            type(command),
            prog=f"codeword {words[0]}",
            args=words[1:],
            default=command.over_settings(),
            config=STYLE,
        )
        return again
    return command

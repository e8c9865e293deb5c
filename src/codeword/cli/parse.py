"""The words of the command line as one command object."""

from __future__ import annotations

from typing import Annotated

import tyro

from codeword.cli.decode import Decode
from codeword.cli.demo import Demo
from codeword.cli.encode import Encode
from codeword.cli.evaluate import Evaluate
from codeword.cli.export import Export
from codeword.cli.train import Train
from codeword.version import __version__

__all__ = ["Command", "parse"]

DESCRIPTION = f"""codeword {__version__}: learn to write pictures as tokens, and to read them back.

Start with `codeword demo`. With your own pictures: `codeword train FOLDER --out RUN`, then
`codeword encode RUN FOLDER --out tokens.parquet` and `codeword decode RUN tokens.parquet --out PICTURES`.
`codeword COMMAND --help` explains each command."""

Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Encode, tyro.conf.subcommand("encode")]
    | Annotated[Decode, tyro.conf.subcommand("decode")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)
STYLE = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.PositionalMetavarFromFieldName,
    tyro.conf.DisallowNone,
)


def parse(words: list[str]) -> Demo | Train | Encode | Decode | Evaluate | Export:
    """The command that the words name; no words ask for the help.

    Raises:
        SystemExit: 0 after printing help, 2 after printing what is wrong with the words.
    """
    command = tyro.cli(
        Command, prog="codeword", description=DESCRIPTION, args=words or ["--help"], config=STYLE
    )
    if isinstance(command, Train) and command.resume:
        # Read the words again over the run's own settings: what still differs was asked for.
        return tyro.cli(
            Train, prog="codeword train", args=words[1:], default=command.over_settings_of_run(), config=STYLE
        )
    return command

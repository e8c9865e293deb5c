"""From the words on the command line to an exit code: 0 done, 2 input that cannot be used, 130 Ctrl-C."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from codeword.errors import CodewordError, CodewordWarning, printable
from codeword.version import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; a fault of the input is one line on stderr.

    Args:
        arguments: the words after `codeword`; None: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what its encoding lacks is escaped
            with suppress(OSError):  # a stream that cannot tell where it is stays as it is
                stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", CodewordWarning)
            warnings.showwarning = _Notes()
            code = _run(words)
        sys.stdout.flush()
        return code
    except CodewordError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("stopped; nothing half-written is left", 130)
    except BrokenPipeError:
        # Python would complain again when it closes stdout on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("stopped, because the program that read the output has ended", 2)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _fail(printable(f"{error.strerror or error}{place}; check that place and its free space"), 2)


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        sys.stdout.write(f"codeword {__version__}\n")
        return 0
    try:
        import rich  # noqa: F401
        import tyro  # noqa: F401
    except ImportError as error:
        raise CodewordError.of(
            "the packages of the command line",
            f"an installation without {error.name}",
            'pip install "codeword[demo]"',
        ) from error
    from codeword.cli.parse import parse

    return parse(words).run()


class _Notes:
    """Our own warnings, each as one line for the user and once in a command; those of others as Python writes them."""

    def __init__(self) -> None:
        self.said = set[str]()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, CodewordWarning):
            (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
        elif str(message) not in self.said:
            self.said.add(str(message))
            sys.stderr.write(f"codeword: note: {message}\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"codeword: {message}\n")
    return code

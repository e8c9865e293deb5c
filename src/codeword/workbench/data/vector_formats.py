"""Open files of vectors by their suffix; faults of a file become errors that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codeword.errors import CodewordError
from codeword.workbench.data.files import fault_of
from codeword.workbench.data.vector_files import Part, VectorFile, open_numpy, open_safetensors
from codeword.workbench.data.vector_tables import open_parquet

__all__ = ["VECTOR_SUFFIXES", "names_of", "open_vectors", "parts_of"]

OPENERS: dict[str, Callable[..., VectorFile]] = {
    ".npy": open_numpy,
    ".npz": open_numpy,
    ".parquet": open_parquet,
    ".safetensors": open_safetensors,
}
VECTOR_SUFFIXES = tuple(OPENERS)


def open_vectors(path: Path, column: str | None, names: str | None = None) -> VectorFile:
    """The vectors of one file; `names`: of the column that names the rows, in a table.

    Raises:
        CodewordError: the file has another format, is damaged, or does not hold vectors.
    """
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        expected = f"a file of vectors with a suffix of {' '.join(VECTOR_SUFFIXES)}"
        raise CodewordError.of(expected, f"{path}", "save the vectors as one of these")
    with _naming(path):
        if opener is open_parquet:
            return open_parquet(path, column, names)
        if names is not None:
            got = "a file without columns"
            raise CodewordError.of(f"a table in {path} for --names {names}", got, "leave out --names")
        return opener(path, column)


def parts_of(file: VectorFile, begin: int, end: int, size: int) -> Iterator[Part]:
    """`file.parts`; faults of the file are named."""
    with _naming(file.path):
        for part in file.parts(begin, end, size):
            yield part
            begin += len(part.rows)
        if begin < end:
            raise ValueError(f"it says that it has {file.rows} vectors, and has less")


def names_of(file: VectorFile) -> Sequence[str | None]:
    """`file.names`; faults of the file are named."""
    with _naming(file.path):
        names = file.names()
        if len(names) != file.rows:
            raise ValueError(f"it has {len(names)} names for {file.rows} vectors")
        return names


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn every error of reading a damaged file into one that names the file."""
    try:
        yield
    except CodewordError:
        raise
    except Exception as error:  # a damaged file can raise nearly any error
        got = f"one that cannot be read ({fault_of(path, error)})"
        raise CodewordError.of(f"a whole file of vectors at {path}", got, "save it again") from error

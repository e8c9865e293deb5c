"""The readers of sounds and of vectors, for the corpus of `faults.readers`: whole files, spoilt and then read."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from codeword.tokens import check_name
from codeword.workbench.data.audio import SoundFiles, read_sound
from codeword.workbench.data.vector_batches import VectorRows, summarize
from codeword.workbench.data.vectors import VectorStream
from faults.mutate import bytes_changed

__all__ = ["columns", "npy", "npz", "safetensors", "sound"]

ROWS, FEATURES, RATE = 40, 6, 8000
Files = tuple[tuple[bytes, str], ...]  # what is in them, and which array or column is to be named
MOST = 2**28  # bytes of what a spoilt file of a few thousand may unpack to


@cache
def sounds() -> tuple[tuple[str, bytes], ...]:
    """A short sound in every format that libsndfile writes and we take."""
    import soundfile

    wave = np.sin(np.arange(1200) * 0.1)[:, None] * [0.5, -0.25]
    kinds = (
        *(
            ("wav", "WAV", "PCM_16"),
            ("wav", "WAV", "FLOAT"),
            ("wav", "WAVEX", "PCM_24"),
            ("wav", "WAV", "ULAW"),
        ),
        *(("flac", "FLAC", "PCM_16"), ("flac", "FLAC", "PCM_24"), ("ogg", "OGG", "VORBIS")),
        *(("opus", "OGG", "OPUS"), ("aiff", "AIFF", "PCM_16"), ("mp3", "MP3", "MPEG_LAYER_III")),
    )
    found = []
    for suffix, form, coding in kinds:
        stream = io.BytesIO()
        soundfile.write(stream, wave if suffix != "mp3" else wave[:, 0], RATE, format=form, subtype=coding)
        found.append((suffix, stream.getvalue()))
    return tuple(found)


def sound(draw: Random, folder: Path) -> None:
    """Bytes of sounds, read one by one or as a folder, at their own rate or another."""
    suffix, content = draw.choice(sounds())
    path = folder / f"sound.{suffix}"
    path.write_bytes(bytes_changed(content, draw))
    rate = draw.choice([RATE, RATE, 16000])
    if draw.random() < 0.5:
        samples = read_sound(path, rate)
    else:
        ((name, samples),) = SoundFiles(folder, rate)
        assert name == path.name
    assert (samples.dtype, samples.ndim) == (np.float32, 1)
    assert np.isfinite(samples).all()
    assert samples.nbytes <= MOST


def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, FEATURES)).astype(np.float32)


@cache
def npy_files() -> Files:
    kinds = (rows(), np.asfortranarray(rows()), rows().astype(np.float16), rows().astype(np.int8))
    return tuple((_written(np.save, kind), "") for kind in kinds)


@cache
def npz_files() -> Files:
    both = {"rows": rows(), "labels": np.arange(ROWS)}
    written = (_written(np.savez, **both), _written(np.savez_compressed, **both))
    return (*((content, "::rows") for content in written), (_written(np.savez_compressed, rows=rows()), ""))


@cache
def parquet_files() -> Files:
    import pyarrow as arrow
    from pyarrow import parquet

    names = arrow.array([f"deep/{number}.txt" for number in range(ROWS)])
    lists = arrow.array(list(rows()), arrow.list_(arrow.float32()))
    fixed = arrow.FixedSizeListArray.from_arrays(arrow.array(rows().ravel()), FEATURES)
    other = arrow.array([[1, 2]] * ROWS, arrow.list_(arrow.int8()))
    tables = (
        (arrow.table({"name": names, "vector": lists}), "none", ""),
        (arrow.table({"vector": fixed, "id": names}), "zstd", "::vector"),
        (arrow.table({f"n{number}": rows()[:, number] for number in range(FEATURES)}), "snappy", "::n*"),
        (arrow.table({"other": other, "vector": lists}), "gzip", "::vector"),
    )

    def write(stream: Any, table: Any, packing: str) -> None:
        parquet.write_table(table, stream, compression=packing, row_group_size=ROWS // 2)

    return tuple((_written(write, table, packing), column) for table, packing, column in tables)


@cache
def safetensors_files() -> Files:
    matrix = torch.from_numpy(rows())
    return (
        (save({"rows": matrix}), ""),
        (save({"rows": matrix.bfloat16(), "bias": matrix[0].clone()}), "::rows"),
        (save({"rows": matrix.to(torch.uint8)}), ""),
    )


def _written(write: Any, *values: Any, **named: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *values, **named)
    return stream.getvalue()


def read(path: Path, column: str, draw: Random) -> None:
    """What is left of a file of vectors as items, looked through, and as rows to train on."""
    stream = VectorStream(f"{draw.choice([path, path.parent])}{column}")
    assert len(stream) * stream.features * 4 <= MOST
    assert draw.random() < 0.5 or len(stream.names) == len(
        stream
    )  # before anything else was read, or after it
    for block in stream.blocks(draw.choice([None, 7])):
        assert block.rows.shape == (len(block.names), stream.features)
        assert np.isfinite(block.rows).all()
        for name in block.names:
            check_name(name)
    facts = summarize(stream, sample=5)
    assert int(facts.usable.sum()) + len(stream.skipped) >= len(stream)
    training = VectorRows(stream, facts.usable)
    assert len(training.read(3, 20)) == facts.usable[3:23].sum()
    assert len(stream.names) == len(stream)


def spoil(path: Path, files: Files, draw: Random) -> None:
    """Spoil one of some files, and read it."""
    content, column = draw.choice(files)
    path.write_bytes(bytes_changed(content, draw))
    read(path, column, draw)


def npy(draw: Random, folder: Path) -> None:
    """Memory-mapped arrays."""
    spoil(folder / "vectors.npy", npy_files(), draw)


def npz(draw: Random, folder: Path) -> None:
    """Archives of arrays, packed or not; or arrays that were spoilt before they were packed."""
    path = folder / "vectors.npz"
    if draw.random() < 0.5:
        spoil(path, npz_files(), draw)
        return
    content, _ = draw.choice(npy_files())
    packing = draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr(draw.choice(["rows.npy", "../rows.npy"]), bytes_changed(content, draw))
    read(path, "", draw)


def columns(draw: Random, folder: Path) -> None:
    """Columns of Parquet: lists, lists of one length, or a number each."""
    spoil(folder / "vectors.parquet", parquet_files(), draw)


def safetensors(draw: Random, folder: Path) -> None:
    """Tensors, memory-mapped."""
    spoil(folder / "vectors.safetensors", safetensors_files(), draw)

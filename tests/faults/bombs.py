"""Small files that ask for much memory, of every kind that there is a reader for."""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

import codeword
from codeword import CodewordError, checkpoints
from codeword.checkpoints.config import config_of
from codeword.errors import CodewordWarning
from codeword.workbench.data import read_image
from codeword.workbench.data.audio import read_sound
from codeword.workbench.data.vectors import VectorStream
from faults.readers import signed, tokenizer

__all__ = ["bombs", "open_all"]

HUGE = 2**40


def compressed_state(path: Path) -> None:
    """A state dictionary of 256 MB of zeros, packed into one."""
    stream = io.BytesIO()
    torch.save({"quantize.embedding.weight": torch.zeros(4, 16 << 20)}, stream)
    with zipfile.ZipFile(stream) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry))


def repeated_state(path: Path) -> None:
    """One number that says it is a table of 4 TB."""
    torch.save({"quantize.embedding.weight": torch.zeros(1).expand(10**6, 10**6)}, path)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wave(data: bytes, rate: int, length: int) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 2**32 - 1)
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", length)
        + data
    )


def sounds(folder: Path) -> None:
    """One that says it has 3 GB, one of a sample a second, and one that says it lasts for months."""
    import soundfile

    noise = np.random.default_rng(0).integers(-9999, 9999, 60_000, np.int16)
    (folder / "claims.wav").write_bytes(wave(noise.tobytes(), 8000, 3 * 10**9))
    (folder / "slow.wav").write_bytes(wave(noise.tobytes(), 1, 2 * len(noise)))
    soundfile.write(folder / "months.flac", noise, 8000)
    content = bytearray((folder / "months.flac").read_bytes())
    content[21] |= 15  # the number of samples, 36 bits
    content[22:26] = b"\xff" * 4
    (folder / "months.flac").write_bytes(content)


def arrays(folder: Path) -> None:
    """Headers of .npy, .npz and safetensors that speak of petabytes, or of more rows than can be counted; zeros."""
    shapes = {"many": (2**44, 64), "thin": (HUGE, 1), "below": (-HUGE, 3)}
    for name, shape in shapes.items():
        stream = io.BytesIO()
        header = {"descr": "|i1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        content = stream.getvalue() + bytes(1000)
        (folder / f"{name}.npy").write_bytes(content)
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
            archive.writestr("rows.npy", content)
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**52]}
        head = json.dumps({"rows": entry}).encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    zeros = io.BytesIO()
    np.save(zeros, np.zeros((2**21, 34), np.float32))
    with zipfile.ZipFile(folder / "zeros.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("rows.npy", zeros.getvalue())


def tables(folder: Path) -> None:
    """Parquet: a row of millions of zeros, one name of a megabyte for all rows, a footer that is not there."""
    import pyarrow as arrow
    from pyarrow import parquet

    def write(path: str, **columns: Any) -> None:
        parquet.write_table(arrow.table(columns), folder / path, compression="zstd")

    zeros = arrow.array(np.zeros(70_000_000, np.int8))
    offsets = arrow.array([0, 4, len(zeros)], arrow.int32())
    write("long row.parquet", vector=arrow.ListArray.from_arrays(offsets, zeros))
    place = arrow.array(np.zeros(1000, np.int32))
    names = arrow.DictionaryArray.from_arrays(place, arrow.array(["x" * 2**20]))
    write(
        "names.parquet",
        name=names,
        vector=arrow.FixedSizeListArray.from_arrays(arrow.array(np.ones(2000)), 2),
    )
    (folder / "footer.parquet").write_bytes(b"PAR1" + bytes(99) + struct.pack("<I", 2**31 - 1) + b"PAR1")


def bombs(folder: Path) -> dict[str, Path]:
    """Small files that ask for much memory."""
    folder.mkdir(exist_ok=True)
    sounds(folder)
    arrays(folder)
    tables(folder)
    compressed_state(folder / "compressed.pt")
    repeated_state(folder / "repeated.pt")
    (folder / "huge.png").write_bytes(png(30_000, 30_000))
    (folder / "wide.png").write_bytes(png(2**31 - 1, 1))
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    changes = {
        "width": {"width": 10**6},
        "codes": {"quantizer": "vq999999999999"},
        "stages": {"quantizer": "rvq1000000000x2"},
        "shared": {"quantizer": "rvq1000000000x2,shared=true"},
        "nested": {"quantizer": "rvq1000x(rvq1000x(rvq1000x2))"},
        "blocks": {"blocks": 10**9},
        "deep": {"quantizer": "rvq2x(" * 20_000},
        "digits": {"quantizer": "vq" + "9" * 50_000},
        "other class": {"type": "subprocess.Popen"},
    }
    for name, change in changes.items():
        signed({**config_of(tokenizer()), **change}, tokenizer().state_dict(), folder / name)
    return {path.name: path for path in sorted(folder.iterdir())}


def as_state(path: Path) -> None:
    codeword.checkpoints.convert(path, library="taming")


def as_sound(path: Path) -> None:
    read_sound(path, 16_000)


def as_vectors(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CodewordWarning)  # what is read of a table
        list(VectorStream(path))


OPENERS = {
    "": (checkpoints.load,),
    ".pt": (as_state,),
    ".png": (read_image,),
    ".safetensors": (as_state, as_vectors),
    **dict.fromkeys([".wav", ".flac"], (as_sound,)),
    **dict.fromkeys([".npy", ".npz", ".parquet"], (as_vectors,)),
}


def open_all(folder: Path) -> None:
    """Print what each was refused with, and how many MB the process has taken more than before them all."""
    import resource

    tokenizer().encode(torch.zeros(1, 3, 8, 8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sorted(folder.iterdir()):
        for opener in OPENERS[path.suffix]:
            try:
                opener(path)
            except CodewordError as error:
                more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
                sys.stdout.write(f"{path.name}|{more}|{error!s:.120}\n")
            else:
                sys.stderr.write(f"{path.name} was opened\n")


if __name__ == "__main__":
    open_all(Path(sys.argv[1]))

"""Every reader of files from elsewhere, each with a whole file to begin with and a way to spoil it."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

import codeword
from codeword import checkpoints
from codeword.checkpoints.config import config_of
from codeword.checkpoints.state import digest_of, write_tensors
from codeword.errors import CodewordWarning
from codeword.tokenizers import ImageTokenizer
from codeword.tokens import Header, TokenWriter, read_tokens
from codeword.workbench.comparing.comparison import folder_name, stored_values
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import read_image, save_png
from codeword.workbench.training.run import Run
from faults.mutate import ODD, bytes_changed, json_changed, text_changed
from faults.sounds_and_vectors import columns, npy, npz, safetensors, sound

__all__ = ["READERS", "signed"]


@cache
def tokenizer() -> ImageTokenizer:
    torch.manual_seed(0)
    model = ImageTokenizer(codeword.from_spec("rvq2x16", features=4, dim=1), width=8, stride=4, blocks=1)
    model(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    return model


@cache
def saved() -> dict[str, bytes]:
    """The files of a checkpoint, by name."""
    state = checkpoints.TrainingState({"m": torch.zeros(3)}, {"step": 1})
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.save(tokenizer(), folder, state)
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}


def checkpoint(draw: Random, folder: Path) -> None:
    """Bytes of the config, the weights or the training state."""
    spoilt = draw.choice(sorted(saved()))
    for name, content in saved().items():
        (folder / name).write_bytes(bytes_changed(content, draw) if name == spoilt else content)
    draw.choice([checkpoints.load, checkpoints.load_training, checkpoints.stored_digest])(folder)


def signed(config: dict[str, Any] | str, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write a checkpoint as an enemy does, whose digest fits."""
    text = config if isinstance(config, str) else json.dumps(config)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(text.encode(errors="surrogatepass"))
    try:
        name = digest_of(json.loads(text), tensors)
    except (ValueError, TypeError, RecursionError):
        name = "00"
    write_tensors(folder / "model.safetensors", tensors, {"version": 1, "digest": name})


def config(draw: Random, folder: Path) -> None:
    """Other settings, with a digest that fits."""
    model = draw.choice([tokenizer(), tokenizer().quantizer])
    signed(json_changed(config_of(model), draw), model.state_dict(), folder)
    checkpoints.load(folder)


def weights(draw: Random, folder: Path) -> None:
    """Tensors of other types, shapes and values, with a digest that fits."""
    tensors = {name: value.clone() for name, value in tokenizer().state_dict().items()}
    name = draw.choice(sorted(tensors))
    tensor = tensors[name]
    tensors[name] = draw.choice(
        [
            lambda: tensor.to(
                draw.choice([torch.int8, torch.bool, torch.float8_e4m3fn, torch.float64, torch.int32])
            ),
            lambda: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor[..., None],
            lambda: tensor.flatten()[: draw.randrange(tensor.numel() + 1)],
            lambda: tensor[None],
            lambda: torch.full_like(tensor.float(), torch.inf),
        ]
    )()
    signed(config_of(tokenizer()), tensors, folder)
    model = checkpoints.load(folder)
    assert model.float().encode(torch.zeros(1, 3, 8, 8)).max() < 16  # one of them may have another precision


def spec(draw: Random, folder: Path) -> None:
    """Specs, as they come with a config or from a command line."""
    texts = (
        "rvq3x7,shared=true",
        "fsq5-4-3-2-2-2",
        "gvq2x(rvq3x5)",
        "vq11,update=ema(decay=0.9,init=kmeans(2))",
    )
    with torch.device("meta"):
        codeword.from_spec(text_changed(draw.choice(texts), draw), features=6)


FOREIGN: dict[str, dict[str, torch.Tensor]] = {
    "taming": {"quantize.embedding.weight": torch.randn(16, 4)},
    "vector-quantize-pytorch": {
        "_codebook.initted": torch.tensor([True]),
        "_codebook.cluster_size": torch.ones(1, 16),
        "_codebook.embed": torch.randn(1, 16, 4),
        "_codebook.embed_avg": torch.randn(1, 16, 4),
    },
    "encodec": {
        f"quantizer.vq.layers.{layer}._codebook.{name}": torch.ones(shape)
        for layer in range(2)
        for name, shape in {
            "inited": (1,),
            "cluster_size": (8,),
            "embed": (8, 4),
            "embed_avg": (8, 4),
        }.items()
    },
}


def foreign_file(draw: Random, folder: Path) -> None:
    """Bytes of what torch.save and safetensors wrote."""
    library = draw.choice(sorted(FOREIGN))
    folder.mkdir(exist_ok=True)
    if draw.random() < 0.3:
        path, content = folder / "state.safetensors", save(FOREIGN[library])
    else:
        stream = io.BytesIO()
        torch.save(FOREIGN[library], stream, _use_new_zipfile_serialization=draw.random() < 0.7)
        path, content = folder / "state.pt", stream.getvalue()
    path.write_bytes(bytes_changed(content, draw))
    codeword.checkpoints.convert(path, library=library)


def foreign_state(draw: Random, folder: Path) -> None:
    """State dictionaries with other keys, shapes and types, to any library."""
    state: dict[Any, Any] = dict(FOREIGN[draw.choice(sorted(FOREIGN))])
    for _ in range(draw.randint(1, 3)):
        key = draw.choice(list(state))
        value = state.pop(key)
        change = draw.randrange(5)
        if change == 0:
            state[key.replace("0", "7", 1) if isinstance(key, str) else key] = value
        elif change == 1 and isinstance(value, torch.Tensor):
            state[key] = draw.choice(
                [value[..., None], value.flatten(), value.sum(), value.flatten()[:0], value.bool()]
            )
        elif change == 2:
            state[draw.choice([3, None, ("a",), "", "embed"])] = value
        elif change == 3:
            state[key] = draw.choice([None, "text", 3, [1], {}])
        if not state:
            break
    library = draw.choice(list(codeword.checkpoints.LIBRARIES))
    codeword.checkpoints.convert(state, library=library, prefix=draw.choice([None, ""]))


@cache
def pictures() -> tuple[tuple[str, bytes], ...]:
    """A small picture in every format that Pillow writes and we take."""
    from PIL import Image

    small = Image.radial_gradient("L").resize((13, 9)).convert("RGB")
    kinds = (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("gif", "GIF"), ("ppm", "PPM"), ("tif", "TIFF"))
    found = []
    for suffix, name in (*kinds, ("webp", "WEBP")):
        stream = io.BytesIO()
        small.save(stream, name)
        found.append((suffix, stream.getvalue()))
    return tuple(found)


def image(draw: Random, folder: Path) -> None:
    """Bytes of pictures; one that was changed only a little may still be one."""
    suffix, content = draw.choice(pictures())
    folder.mkdir(exist_ok=True)
    path = folder / f"picture.{suffix}"
    path.write_bytes(bytes_changed(content, draw))
    array = read_image(path)
    assert array.dtype == "uint8"
    assert array.nbytes <= 300_000_000
    if array.nbytes < 100_000:
        save_png(folder / "again.png", array)


@cache
def token_file() -> bytes:
    """A whole one, of twenty small pictures in a residual code."""
    header = Header("c0de", (16, 300), trailing_shape=(2,))
    with tempfile.TemporaryDirectory() as folder:
        with TokenWriter(Path(folder) / "whole.parquet", header) as writer:
            for number in range(20):
                writer.write(f"deep/{number}.png", np.full((2, 3 + number % 2, 2), number % 16))
        return (Path(folder) / "whole.parquet").read_bytes()


def tokens(draw: Random, folder: Path) -> None:
    """Bytes of a token file: what can be read of it all the same is what was written."""
    folder.mkdir(exist_ok=True)
    path = folder / "tokens.parquet"
    path.write_bytes(bytes_changed(token_file(), draw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CodewordWarning)  # where the mark of the seal was hit
        rows = list(read_tokens(path, verify=draw.choice(["seal", "full"])))
    assert [name for name, _ in rows] == [f"deep/{number}.png" for number in range(20)]
    assert all((grid == number % 16).all() for number, (_, grid) in enumerate(rows))


def settings(draw: Random, folder: Path) -> None:
    """The settings of a run, which resuming reads."""
    folder.mkdir(exist_ok=True)
    values = {"data": "photos", "processes": 1, "start": None, **TrainConfig().to_values()}
    (folder / "train.json").write_bytes(json_changed(values, draw).encode(errors="surrogatepass"))
    run = Run(folder)
    run.processes()
    run.settings()[1].check()


def records(draw: Random, folder: Path) -> None:
    """What was logged in a run, and what a comparison found."""
    lines = [json_changed({"step": 3, "loss": 0.5}, draw) for _ in range(draw.randint(1, 2))]
    (folder / "metrics.jsonl").write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    result = {
        "quantizer": "vq16",
        "folder": "vq16",
        "failed": None,
        draw.choice(["folder", "x"]): draw.choice(ODD),
    }
    values = {"version": 1, "data": "photos", "method": "fit", "settings": {}, "results": [result]}
    (folder / "results.json").write_bytes(json_changed(values, draw).encode(errors="surrogatepass"))
    for line in Run(folder).metrics() if draw.random() < 0.5 else ():
        assert type(line["step"]) is int
    for found in (stored_values(folder) or {"results": []})["results"]:
        assert found["folder"] == folder_name(found["quantizer"])


MODELS = (checkpoint, config, weights, spec, foreign_file, foreign_state)
DATA = (image, sound, npy, npz, columns, safetensors, tokens)
READERS: dict[str, Callable[[Random, Path], None]] = {
    reader.__name__: reader for reader in (*MODELS, *DATA, settings, records)
}

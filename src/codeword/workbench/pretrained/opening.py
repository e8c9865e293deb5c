"""Open codecs by name: hf: and a folder, which needs no network, or an id of the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from codeword.errors import CodewordError, printable
from codeword.packages import load
from codeword.workbench.pretrained.base import Codec, CodecOptions
from codeword.workbench.pretrained.dac import DAC
from codeword.workbench.pretrained.encodec import EnCodec, XCodec
from codeword.workbench.pretrained.mimi import Mimi
from codeword.workbench.pretrained.pictures import Chameleon, Emu3, Janus, VQModel
from codeword.workbench.pretrained.xcodec2 import NeuCodec, XCodec2

__all__ = ["CODECS", "anywhere", "is_codec", "open_codec", "split_options"]

CODECS: tuple[type[Codec], ...] = (
    EnCodec,
    DAC,
    Mimi,
    XCodec,
    XCodec2,
    NeuCodec,
    VQModel,
    Chameleon,
    Emu3,
    Janus,
)
"""All supported codecs, by the class that a model's configuration names."""

PREFIX, EXTRA, LONGEST_NAME = "hf:", "codecs", 100
FILES = ["config.json", "*.safetensors", "*.safetensors.index.json"]
OPTION = re.compile(r",(codebooks(?==\d+$)|bandwidth)=(\d+\.?\d*)$")
ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def is_codec(place: str | Path) -> bool:
    """Whether a name means a codec of another library, and not a run folder.

    Examples:
        >>> is_codec("hf:facebook/encodec_24khz"), is_codec("run")
        (True, False)
    """
    return str(place).startswith(PREFIX)


def anywhere(place: str) -> str:
    """The same run folder or codec, valid in any working folder."""
    prefix, folder = (PREFIX, place.removeprefix(PREFIX)) if is_codec(place) else ("", place)
    if prefix and not Path(folder).exists():
        return place
    return prefix + str(Path(folder).absolute())


def split_options(place: str) -> tuple[str, CodecOptions]:
    """Parse a codec with options after its name, as in lists of codecs.

    Examples:
        >>> split_options("hf:kyutai/mimi,codebooks=8")
        ('hf:kyutai/mimi', CodecOptions(codebooks=8, bandwidth=None))
    """
    options: dict[str, Any] = {}
    while (found := OPTION.search(place)) is not None:
        options[found[1]] = int(found[2]) if found[1] == "codebooks" else float(found[2])
        place = place[: found.start()]
    return place, CodecOptions(**options)


def open_codec(place: str, options: CodecOptions = CodecOptions()) -> Codec:  # noqa: B008  frozen
    """A codec of transformers or diffusers, in eval, in float32, on the CPU.

    Only safetensors, JSON and classes of the two libraries are read: no code of a repository is ever run.

    Args:
        place: hf: and a folder written by the library's `save_pretrained`; or, if there is no such folder, an
            owner/name of the Hub, which is downloaded.
        options: the user's options.

    Raises:
        CodewordError: there is no model, its class is not supported, weights are missing, an option does not fit it, or
            a package is missing (extra `codecs`).
    """
    said = place.removeprefix(PREFIX)
    local = Path(said).is_dir()
    folder = Path(said) if local else _fetched(said)
    codec = _codec_of(folder, place)
    try:
        model, found = getattr(_library(codec), codec.model_class).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **_dtype(codec)
        )
    except Exception as error:  # missing, damaged or unfitting files raise errors of any class
        raise CodewordError.of(
            f"a {codec.model_class} at {place}", _reason(error), "fetch it again"
        ) from error
    missing = sorted(found["missing_keys"])
    if missing:
        got = f"none for {', '.join(missing[:3])}{' and others' if len(missing) > 3 else ''}"
        raise CodewordError.of(f"all weights of the {codec.model_class} at {place}", got, "fetch it again")
    called = printable(folder.resolve().name if local else said)[:LONGEST_NAME]
    return codec(model, f"{PREFIX}{called}", options)


def _codec_of(folder: Path, place: str) -> type[Codec]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        remedy = "pass a folder that save_pretrained wrote, or an owner/name of the Hub"
        raise CodewordError.of(f"a model at {place}, with config.json", _reason(error), remedy) from error
    named = (
        [config.get("_class_name"), *(config.get("architectures") or [])] if isinstance(config, dict) else []
    )
    for codec in CODECS:
        if codec.model_class in named:
            return codec
    known = ", ".join(codec.model_class for codec in CODECS)
    got = f"{', '.join(str(name) for name in named if name) or 'no class'} at {place}"
    raise CodewordError.of(f"one of the models {known}", got, "name another")


def _fetched(name: str) -> Path:
    if not ID.fullmatch(name):
        raise CodewordError.of(f"a folder {name}, or an owner/name of the Hub", "neither", "check the name")
    hub = load("huggingface_hub", EXTRA)
    try:
        return Path(hub.snapshot_download(repo_id=name, allow_patterns=FILES))
    except Exception as error:  # its errors have no common class, and errors of the network also occur
        remedy = "check the name, the connection and, for a private repository, `hf auth login`"
        raise CodewordError.of(f"a folder {name}, or a model of the Hub", _reason(error), remedy) from error


def _library(codec: type[Codec]) -> Any:
    library = load(codec.library, EXTRA)
    load(f"{codec.library}.utils.logging", EXTRA).disable_progress_bar()
    if not hasattr(library, codec.model_class):
        expected = f"{codec.library} with {codec.model_class}"
        raise CodewordError.of(expected, f"version {library.__version__}", f"upgrade {codec.library}")
    return library


def _dtype(codec: type[Codec]) -> dict[str, torch.dtype]:
    return {"dtype" if codec.library == "transformers" else "torch_dtype": torch.float32}


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__

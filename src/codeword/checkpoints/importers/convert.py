"""From the state dictionary of another library to a quantizer, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from codeword.checkpoints.importers.bitcodes_pytorch import BitcodesPyTorch
from codeword.checkpoints.importers.dac import DAC, SNAC, DACTransformers
from codeword.checkpoints.importers.encodec import (
    EnCodec,
    EnCodecTransformers,
    NeMo,
    WavTokenizer,
    XCodecTransformers,
)
from codeword.checkpoints.importers.files import read_file
from codeword.checkpoints.importers.library import Library
from codeword.checkpoints.importers.llamagen import LlamaGen, TiTok
from codeword.checkpoints.importers.mimi import Mimi
from codeword.checkpoints.importers.nemo import NeMoFSQ
from codeword.checkpoints.importers.quantizer_pytorch import QuantizerPyTorch
from codeword.checkpoints.importers.semivq import SemiVQ
from codeword.checkpoints.importers.table import KeyTable, State
from codeword.checkpoints.importers.taming import IBQ, SimVQ, Taming
from codeword.checkpoints.importers.torchtools import TorchTools
from codeword.checkpoints.importers.var import VAR
from codeword.checkpoints.importers.vector_quantize_pytorch import VectorQuantizePytorch
from codeword.checkpoints.importers.vqtorch import VQTorch
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer
from codeword.registry import Registry

__all__ = ["LIBRARIES", "convert", "convert_back", "read_into"]

LIBRARIES = Registry(
    "library",
    {
        "bitcodes-pytorch": BitcodesPyTorch,
        "encodec": EnCodec,
        "encodec-transformers": EnCodecTransformers,
        "dac": DAC,
        "dac-transformers": DACTransformers,
        "ibq": IBQ,
        "mimi": Mimi,
        "nemo": NeMo,
        "nemo-fsq": NeMoFSQ,
        "quantizer-pytorch": QuantizerPyTorch,
        "taming": Taming,
        "torchtools": TorchTools,
        "llamagen": LlamaGen,
        "semivq": SemiVQ,
        "simvq": SimVQ,
        "snac": SNAC,
        "titok": TiTok,
        "var": VAR,
        "vector-quantize-pytorch": VectorQuantizePytorch,
        "vqtorch": VQTorch,
        "wavtokenizer": WavTokenizer,
        "xcodec-transformers": XCodecTransformers,
    },
)
"""The foreign libraries whose state dictionaries can be read."""

REFUSED = {
    "open-magvit2": "its quantizer has no weights: build LFQ(bits, bits, dim=1), and flip the features, because its "
    "first bit is the least significant: lfq.encode(z.flip(1)), lfq.decode(indices).flip(1)",
}
"""Those whose state dictionaries have nothing to read, and what to do instead."""


def convert(
    state: State | str | os.PathLike[str], *, library: str, prefix: str | None = None, **options: Any
) -> Quantizer:
    """The quantizer that another library's state dictionary holds, in eval mode, on the CPU.

    Args:
        state: a state dictionary, of the quantizer or of a whole model; or a file of one, `.safetensors` or what
            torch saved (only tensors are read from it, nothing is run).
        library: one of `LIBRARIES`.
        prefix: the prefix of the quantizer's keys; None: that of the library's own models. Keys without it are ignored;
            all keys with it must be known.
        options: what the state does not contain, such as `beta`: the fields of the library's class.

    Raises:
        CodewordError: an unknown library, option or key, a missing key, another shape: the message names it.

    Examples:
        >>> import torch
        >>> codes = torch.randn(16, 4)
        >>> vq = convert({"quantize.embedding.weight": codes}, library="taming")
        >>> bool((vq.decode(torch.tensor([[3]]))[0, :, 0] == codes[3]).all())
        True
    """
    foreign = _library(library, options)
    whole = _tensors(state)
    foreign.check_model(whole)
    prefix = _place(foreign, whole) if prefix is None else prefix
    own = {key.removeprefix(prefix): tensor for key, tensor in whole.items() if key.startswith(prefix)}
    try:
        spelled = foreign.respell(own)
        quantizer = foreign.build(spelled)
        read_into(quantizer, foreign.table(quantizer), spelled)
    except CodewordError:
        raise
    # Libraries read sizes off the shapes; those of another file lead to an error of any kind, somewhere.
    except Exception as error:
        reason = f"one that does not fit ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        remedy = "pass another library=, or the options of the checkpoint"
        raise CodewordError.of(f"a state dictionary of {library}", reason, remedy) from error
    return quantizer.eval()


def convert_back(
    quantizer: Quantizer, *, library: str, prefix: str = "", **options: Any
) -> dict[str, Tensor]:
    """The state dictionary of another library for a quantizer that `convert` made: live tensors, renamed.

    Args and errors as in `convert`.
    """
    table = _library(library, options).table(quantizer)
    return table.under(prefix, "").write(quantizer.state_dict())


def read_into(module: nn.Module, table: KeyTable, state: State) -> None:
    """Load a foreign state dictionary into a module by a table, strictly."""
    module.load_state_dict(table.read(state, module.state_dict()), strict=True)


def _library(name: str, options: Mapping[str, Any]) -> Library:
    if name in REFUSED:
        raise CodewordError.of("a library whose quantizers have weights", name, REFUSED[name])
    cls = LIBRARIES[name]
    try:
        library: Library = cls(**options)
    except TypeError:
        fields = getattr(cls, "__dataclass_fields__", {})
        known = ", ".join(key for key in fields if not str(fields[key].type).startswith("ClassVar"))
        unknown = ", ".join(key for key in options if key not in fields)
        raise CodewordError.of(f"options of {name}", unknown, f"it has: {known or 'none'}") from None
    return library


def _tensors(state: State | str | os.PathLike[str]) -> State:
    if isinstance(state, str | os.PathLike):
        state = read_file(Path(state))
    if not isinstance(state, Mapping):
        raise CodewordError.of(
            "a state dictionary", f"a {type(state).__name__}", "pass a dict of names and tensors"
        )
    for key, value in state.items():
        if not isinstance(key, str):
            raise CodewordError.of("names and tensors only", f"{key!r:.80} as a name", "leave it out")
        if not isinstance(value, Tensor):
            inner = f"pass what is under {key!r}" if isinstance(value, Mapping) else "leave it out"
            raise CodewordError.of("names and tensors only", f"{key!r}, a {type(value).__name__}", inner)
    return state


def _place(library: Library, state: State) -> str:
    places = library.prefixes()
    return next((p for p in places if any(key.startswith(p + library.mark) for key in state)), places[-1])

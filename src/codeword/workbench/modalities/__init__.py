"""The kinds of data that there are: what the workbench has to know about each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from codeword.errors import CodewordError
from codeword.tokenizers import Networks, Tokenizer, TokenizerInterface
from codeword.tokenizers.custom import restore
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.modalities.base import Batches, Items, Metric, Modality, Panel, Source, Stream
from codeword.workbench.modalities.image import Images
from codeword.workbench.modalities.vectors import Vectors

__all__ = [
    "MODALITIES",
    "Batches",
    "Items",
    "Metric",
    "Modality",
    "Panel",
    "Source",
    "Stream",
    "build",
    "kind_of_data",
    "modality_of_tokenizer",
]

MODALITIES: dict[str, type[Modality]] = {modality.kind: modality for modality in (Images, Sounds, Vectors)}


def kind_of_data(data: str) -> type[Modality]:
    """The kind of what lies at a path; of a file without a known suffix: pictures.

    Tables and arrays beside pictures or sounds are taken for what somebody wrote about them.

    Raises:
        CodewordError: there is nothing of any kind, or there are pictures and sounds.

    Examples:
        >>> kind_of_data("photos").items
        'pictures'
    """
    found = [modality for modality in MODALITIES.values() if modality.holds(data)]
    found = [modality for modality in found if modality is not Vectors] or found
    if len(found) > 1:
        several = " and ".join(modality.items for modality in found)
        raise CodewordError.of(f"one kind of data at {data}", several, "name a folder that has one of them")
    if not found and not Path(data).is_file():
        got, remedy = "nothing there", "check the path"
        if Path(data).exists():
            got, remedy = "none", "name a folder of files such as .jpg, .png, .wav, .flac, .npy or .parquet"
        raise CodewordError.of(f"pictures, sounds or vectors at {data}", got, remedy)
    return found[0] if found else Images


def modality_of_tokenizer(tokenizer: TokenizerInterface) -> Modality:
    """What the workbench has to know about the data of a tokenizer."""
    return MODALITIES[tokenizer.kind].of_tokenizer(tokenizer)


def build(config: TrainConfig, modality: Modality, networks: Networks | None = None) -> Tokenizer:
    """A fresh tokenizer, drawn from the seed of a run; torch's own generator is left as it was.

    The encoder and the decoder start the same whatever the quantizer is, so that quantizers can be compared: they are
    those that are drawn beside the default one, because others draw more or less.

    Args:
        networks: the maker of the encoder and the decoder that `config.model` names; a name alone is not imported.

    Raises:
        CodewordError: settings that cannot be trained with.

    Examples:
        >>> build(TrainConfig(size=50), Images())
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected a size divisible by the stride 8, but got 50; use 48 or 56
    """
    config.check()
    modality.check(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        tokenizer = modality.build(config)
        torch.manual_seed(config.seed)
        beside_default = modality.build(dataclasses.replace(config, quantizer=TrainConfig.quantizer))
        torch.manual_seed(config.seed)
        named = None if config.model is None else {"name": config.model, "settings": config.to_values()}
        restore(tokenizer, named, networks)
    if named is not None:
        return tokenizer
    tokenizer.encoder.load_state_dict(beside_default.encoder.state_dict())
    tokenizer.decoder.load_state_dict(beside_default.decoder.state_dict())
    return tokenizer

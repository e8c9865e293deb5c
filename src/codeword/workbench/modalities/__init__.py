"""The kinds of data, with everything specific to each."""

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
    """The kind of data at a path; a file without a known suffix counts as a picture.

    Tables and arrays beside pictures or sounds are ignored as notes about them.

    Raises:
        CodewordError: there is no data of any kind, or there are both pictures and sounds.

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
    """The modality of a tokenizer."""
    return MODALITIES[tokenizer.kind].of_tokenizer(tokenizer)


def build(config: TrainConfig, modality: Modality, networks: Networks | None = None) -> Tokenizer:
    """A fresh tokenizer, drawn from the seed of a run; torch's own generator does not change.

    The first weights of encoder and decoder do not depend on the quantizer, so that quantizers can be compared: they
    are the weights that are drawn with the default quantizer, because others draw more or fewer numbers.

    Args:
        networks: the maker of the encoder and the decoder that `config.model` names; a name alone is not imported.

    Raises:
        CodewordError: the settings are invalid.

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

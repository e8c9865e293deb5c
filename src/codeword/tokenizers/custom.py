"""Your own encoder and decoder within a tokenizer; a file has their name, to compare, and never calls them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.tokenizers.base import Tokenizer

__all__ = ["Networks", "install", "restore"]


@dataclass(frozen=True)
class Networks:
    """A maker of encoders and decoders that are not codeword's own.

    Args:
        name: what files call it.
        make: plain values, such as the settings of a run, to the encoder and the decoder: modules that map a batch
            (batch, ...) to features (batch, features, *grid), and those back, where each axis of the grid is the
            input's divided by the stride. Nothing in them may look across the batch.
    """

    name: str
    make: Callable[[Mapping[str, Any]], tuple[nn.Module, nn.Module]]


def install(tokenizer: Tokenizer, networks: Networks, settings: Mapping[str, Any]) -> None:
    """Put networks in the place of a tokenizer's own, and note in its config which they are.

    Raises:
        CodewordError: they are no two modules, or do not take or give what the tokenizer needs.

    Examples:
        >>> import codeword
        >>> from codeword.tokenizers import ImageTokenizer
        >>> def patches(settings):
        ...     return nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        >>> tokenizer = ImageTokenizer(codeword.VectorQuantizer(12, 16, dim=1), stride=2)
        >>> install(tokenizer, Networks("mine:patches", patches), {})
        >>> tokenizer.config()["networks"], tokenizer.encode(torch.zeros(1, 3, 6, 8)).shape
        ({'name': 'mine:patches', 'settings': {}}, torch.Size([1, 3, 4]))
    """
    made = networks.make(settings)
    if not (isinstance(made, tuple) and len(made) == 2 and all(isinstance(part, nn.Module) for part in made)):
        expected = f"{networks.name} to return (encoder, decoder), two torch modules"
        raise CodewordError.of(expected, f"{type(made).__name__}", "return the two")
    _check(tokenizer, networks.name, *made)
    tokenizer.encoder, tokenizer.decoder = made
    tokenizer.networks = {"name": networks.name, "settings": dict(settings)}


def restore(tokenizer: Tokenizer, said: Mapping[str, Any] | None, networks: Networks | None) -> None:
    """Put in the networks that a config speaks of; None: the tokenizer keeps its own.

    Raises:
        CodewordError: the maker of the networks is not there, is another one, or is not wanted; or as `install`.
    """
    if said is None:
        if networks is not None:
            got = f"{networks.name} for a tokenizer with networks of codeword"
            raise CodewordError.of("no --model", got, "leave out --model")
        return
    if networks is None or networks.name != said["name"]:
        raise CodewordError.of(
            f"the maker of the encoder and the decoder, which files do not hold; they call it {said['name']!r}",
            "none" if networks is None else repr(networks.name),
            "pass --model, in Python networks=, if you know it and trust it",
        )
    install(tokenizer, networks, said["settings"])


@torch.no_grad()
def _check(tokenizer: Tokenizer, name: str, encoder: nn.Module, decoder: nn.Module) -> None:
    batch = tokenizer.pad(tokenizer.example())
    lengths = batch.shape[batch.ndim - len(tokenizer.grid) :]
    grid = [length // tokenizer.least for length in lengths]
    shapes = tuple(batch.shape), (len(batch), tokenizer.channels, *grid)
    features = _tried(f"the encoder of {name}", encoder, batch, shapes[1])
    _tried(f"the decoder of {name}", decoder, features, shapes[0])


def _tried(what: str, network: nn.Module, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a network makes of an input, in eval mode, so that it keeps its state."""
    expected, before = f"{what} to map {tuple(x.shape)} to {shape}", network.training
    try:
        out: Any = network.eval()(x)
    except RuntimeError as error:
        remedy = "see to its sizes, and that it takes batches of all sizes"
        raise CodewordError.of(expected, str(error).splitlines()[0], remedy) from error
    finally:
        network.train(before)
    if not isinstance(out, Tensor) or tuple(out.shape) != shape:
        got = f"{tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise CodewordError.of(
            expected, got, "check its sizes: batch, features and stride are those of the run"
        )
    return out

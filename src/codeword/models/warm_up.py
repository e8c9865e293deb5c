"""First codes from many batches, for every codebook of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from codeword.axes import Init, require
from codeword.codebooks import Codebook
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.inits import KMeans, Sample
from codeword.models.find import find_codebooks, find_quantizers

__all__ = ["warm_up"]

_METHODS: dict[str, Init] = {"kmeans": KMeans(), "sample": Sample()}
ROWS_PER_CODE = 256  # of which the first codes are made, at most


def warm_up(
    model: nn.Module,
    loader: Iterable[Any],
    batches: int = 128,
    method: Init | str = KMeans(),
    run: Callable[[nn.Module, Any], Any] | None = None,
) -> None:
    """Set the first codes of every codebook of a model from several batches, instead of from its first training batch.

    Codebooks that depend on others, such as the stages of a residual quantizer, are filled after them, so the batches
    are read once for each codebook. Frozen codebooks do not change. The model keeps its mode: in training mode its
    norms use each batch, as they will in training; in eval they use their stored statistics. The statistics of norms
    and other buffers are restored, so only the codebooks change. In a process group every rank calls this with the same
    number of its own batches, and all ranks get the same codes.

    Args:
        model: with at least one codebook.
        loader: yields batches and can be iterated several times: a data loader or a list.
        batches: at most this many are read.
        method: "kmeans" or "sample", or a part with options, `KMeans(steps=50)`.
        run: calls the model with a batch; None: `model(batch)`, or `model(batch[0])` for a tuple or list, on the device
            of the codebooks.

    Raises:
        CodewordError: a model without codebooks or with frozen ones alone, an iterator as loader, or a codebook that
            no batch reaches.

    Examples:
        >>> import codeword
        >>> vq = codeword.VectorQuantizer(4, 8)
        >>> warm_up(vq, [torch.randn(100, 4) for _ in range(3)], batches=2)
        >>> vq.ready
        True
    """
    if isinstance(method, str):
        if method not in _METHODS:
            raise CodewordError.of(
                "a method of warm_up: 'kmeans' or 'sample'", repr(method), "pass one, or a part"
            )
        method = _METHODS[method]
    require("method of warm_up", method, Init)
    if isinstance(loader, Iterator):
        raise CodewordError.of(
            "batches that can be read again", "an iterator", "pass a list or a data loader"
        )
    codebooks = _learning(model)
    run = run or _run
    count = max(1, min(batches, len(loader))) if isinstance(loader, Sized) else batches
    with _observing(model), torch.no_grad():
        for codebook in _in_order(model, codebooks, loader, run):
            rows = _collect(model, codebook, islice(iter(loader), count), run, count)
            codebook.frozen = False
            every = torch.ones_like(rows[:, 0], dtype=torch.bool)
            rng = Rng(rows.device)
            if codebook.update.sync:
                rng.agree_()
            codebook.init_(rows, Valid.of(every, sync=codebook.update.sync), rng.next_key(), method)
            codebook.frozen = True


def _learning(model: nn.Module) -> list[Codebook]:
    """The codebooks that are to be filled: all that are not frozen."""
    found = find_codebooks(model).values()
    if not found:
        raise CodewordError.of("a model with a codebook", type(model).__name__, "put a quantizer in it")
    learning = [codebook for codebook in found if not codebook.frozen]
    if not learning:
        remedy = "call codeword.freeze(model, False) to let them go on"
        raise CodewordError.of("a codebook that learns", "frozen ones alone", remedy)
    return learning


def _run(model: nn.Module, batch: Any) -> Any:
    x = batch[0] if isinstance(batch, tuple | list) else batch
    return model(x.to(next(iter(find_codebooks(model).values())).codes.device))


@contextmanager
def _observing(model: nn.Module) -> Iterator[None]:
    """The model as it is but its quantizers in training, with codebooks that learn nothing."""
    codebooks, learning = list(find_codebooks(model).values()), _learning(model)
    remembered = _buffers_around(model) | _counts(book for book in codebooks if book.frozen)
    modes = {module: module.training for module in model.modules()}
    frozen = {codebook: codebook.frozen for codebook in codebooks}
    keys = {rng: (rng.key.clone(), rng.agreed) for rng in model.modules() if isinstance(rng, Rng)}
    try:
        for quantizer in find_quantizers(model).values():
            quantizer.train()
        for codebook in codebooks:
            codebook.frozen = True
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, value in remembered.items():
            buffer.copy_(value)
        for codebook in codebooks:
            codebook.frozen = frozen[codebook]
            codebook.observer = None
        for rng, (key, agreed) in keys.items():  # ranks whose keys were not equal yet have them back
            rng.key.copy_(key)
            rng.agreed = agreed
        for codebook in learning:
            codebook.reset_usage()


def _buffers_around(model: nn.Module) -> dict[Tensor, Tensor]:
    """The buffers that belong to no quantizer, with what is in them."""
    quantizers = find_quantizers(model).values()
    inner = {id(buffer) for quantizer in quantizers for buffer in quantizer.buffers()}
    others = [buffer for buffer in model.buffers() if id(buffer) not in inner and not is_lazy(buffer)]
    return {buffer: buffer.clone() for buffer in others}


def _counts(codebooks: Iterable[Codebook]) -> dict[Tensor, Tensor]:
    """What codebooks count of their use."""
    return {buffer: buffer.clone() for book in codebooks for buffer in (book.usage_count, book.revived)}


def _in_order(
    model: nn.Module, codebooks: list[Codebook], loader: Iterable[Any], run: Callable[[nn.Module, Any], Any]
) -> list[Codebook]:
    """The codebooks in the order that a batch reaches them."""
    order: list[Codebook] = []

    def note(codebook: Codebook) -> None:
        if codebook not in order:
            order.append(codebook)

    for codebook in codebooks:
        codebook.observer = lambda rows, valid, codebook=codebook: note(codebook)
    for batch in islice(iter(loader), 1):
        run(model, batch)
    for codebook in codebooks:
        codebook.observer = None
    if len(order) < len(codebooks):
        raise CodewordError.of(
            "batches that reach every codebook",
            f"{len(order)} of {len(codebooks)} reached",
            "pass a loader with batches, and run= for a model that is not called with a tensor",
        )
    return order


def _collect(
    model: nn.Module,
    codebook: Codebook,
    batches: Iterable[Any],
    run: Callable[[nn.Module, Any], Any],
    count: int,
) -> Tensor:
    """Rows (R, D) that reach a codebook, evenly from all batches; the first time in each batch, where it is shared."""
    most = -(-ROWS_PER_CODE * len(codebook.codes) // count)
    taken: list[Tensor] = []
    waiting = False

    def take(rows: Tensor, valid: Valid) -> None:
        nonlocal waiting
        if waiting:
            rows = rows[valid.mask]
            many = min(most, len(rows))
            spread = torch.linspace(0, len(rows) - 1, many, dtype=torch.float64, device="cpu")
            taken.append(rows[spread.round().long().to(rows.device)])
            waiting = False

    codebook.observer = take
    for batch in batches:
        waiting = True
        run(model, batch)
    codebook.observer = None
    return torch.cat(taken)

"""P15: built on the meta device and reset where memory is, a quantizer trains as one that was built there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import codeword
from codeword import (
    BSQ,
    FSQ,
    LFQ,
    Binarize,
    Grouped,
    Multiscale,
    RandomProjection,
    Residual,
    ResidualFSQ,
    VectorQuantizer,
)
from codeword.quantizers import (
    Additive,
    BinaryMapper,
    Bitcodes,
    BitLayers,
    Blockwise,
    Channelwise,
    MemoryCodes,
    Overlapped,
    Patches,
    QINCo,
    ResidualLFQ,
    SphericalLeech,
)
from codeword.quantizers.catalogue import QUANTIZERS
from promises.cases import every_case

GARBAGE = {torch.int64: 2**40 + 7, torch.bool: True}  # of other dtypes: NaN


def own(module: nn.Module) -> list[torch.Tensor]:
    """What is of this module, and not of one within it."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@torch.no_grad()
def poison_(quantizer: nn.Module) -> None:
    for module in quantizer.modules():
        for value in own(module):
            value.fill_(GARBAGE.get(value.dtype, torch.nan))


def reset_(quantizer: nn.Module) -> None:
    """As FSDP's users do: every module that can begins anew, whatever was in its memory."""
    torch.manual_seed(0)
    for module in quantizer.modules():
        assert not own(module) or hasattr(module, "reset_parameters"), type(module).__name__
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def on_meta(case) -> nn.Module:
    with torch.device("meta"):
        quantizer = case.build()
    assert all(value.is_meta for module in quantizer.modules() for value in own(module))
    quantizer = quantizer.to_empty(device="cpu")
    poison_(quantizer)
    return quantizer


def assert_alike(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert state.keys() == other.keys()
    for key, value in state.items():
        assert value.dtype == other[key].dtype, key
        assert torch.equal(value, other[key]), key


def train_alike(a: nn.Module, b: nn.Module, case, steps: int = 2) -> None:
    for step in range(steps):
        one, other = a(case.x(step)), b(case.x(step))
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.quantized, other.quantized)
        assert torch.equal(one.loss, other.loss)
    assert_alike(a.state_dict(), b.state_dict())


# Their parts are built before their own projections, and `modules()` has them after: the seed is used in that order.
PROJECTED = (
    "residual-projected",
    "additive-projected",
    "grouped-projected",
    "overlapped-mixed",
    "multiscale-separate",
    "grouped-residual-grouped",
)


@every_case("P15")
def test_reset_is_built_anew(case):
    torch.manual_seed(0)
    built = case.build()
    if case.name in PROJECTED:
        reset_(built)
    start = copy.deepcopy(built.state_dict())
    quantizer = on_meta(case)
    reset_(quantizer)
    assert_alike(quantizer.state_dict(), start)
    train_alike(quantizer, built, case)
    reset_(built)  # and what has learned forgets it
    assert_alike(built.state_dict(), start)
    assert built.ready == case.build().ready


# One of each class, with learned projections where there can be any; `dtype` is theirs.
CLASSES = {
    "vq": lambda **k: VectorQuantizer(6, 11, code_features=3, **k),
    "rvq": lambda **k: Residual([VectorQuantizer(3, 7, **k) for _ in range(2)], features=6, **k),
    "gvq": lambda **k: Grouped([VectorQuantizer(2, 7, **k) for _ in range(2)], features=6, **k),
    "avq": lambda **k: Additive([VectorQuantizer(3, 7, **k) for _ in range(2)], features=6, **k),
    "qinco": lambda **k: QINCo([VectorQuantizer(3, 7, **k) for _ in range(2)], features=6, hidden=8, **k),
    "multiscale": lambda **k: Multiscale(
        [VectorQuantizer(3, 7, **k) for _ in range(2)], sizes=(2, 4), features=6, **k
    ),
    "fsq": lambda **k: FSQ(6, (5, 5), **k),
    "rfsq": lambda **k: ResidualFSQ(6, (5, 5), 2, **k),
    "lfq": lambda **k: LFQ(6, 4, **k),
    "rlfq": lambda **k: ResidualLFQ(6, 4, 2, **k),
    "bsq": lambda **k: BSQ(6, 4, **k),
    "leech": lambda **k: SphericalLeech(6, **k),
    "binarize": lambda **k: Binarize(6, **k),
    "bits": lambda **k: Bitcodes(6, 4, **k),
    "bitlayers": lambda **k: BitLayers(6, 4, **k),
    "mapper": lambda **k: BinaryMapper(6, 3, **k),
    "memory": lambda **k: MemoryCodes(6, 7, **k),
    "ovq": lambda **k: Overlapped([MemoryCodes(3, 7, **k) for _ in range(2)], features=6, **k),
    "rpq": lambda **k: RandomProjection(6, 9, **k),
    "channelwise": lambda **k: Channelwise(VectorQuantizer(4, 7, **k), 6, split=4),
    "blockwise": lambda **k: Blockwise(VectorQuantizer(12, 7, **k), 6, split=2),
    "patches": lambda **k: Patches(VectorQuantizer(24, 7, **k), 6, size=(2, 2)),
}
SHAPES = {
    "multiscale": (5, 4, 6),
    "channelwise": (3, 6, 12),
    "blockwise": (3, 6, 8),
    "patches": (3, 6, 4, 6),
}


def test_every_class_is_here():
    assert set(CLASSES) == set(QUANTIZERS)


@pytest.mark.parametrize("name", CLASSES)
def test_constructors_take_a_device(name):
    quantizer = CLASSES[name](device="meta")
    assert all(value.is_meta for module in quantizer.modules() for value in own(module))
    with torch.device("meta"):
        quantizer = CLASSES[name](device="cpu")
    assert all(value.device.type == "cpu" for module in quantizer.modules() for value in own(module))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name in CLASSES if name != "binarize"])  # which has no parameters
def test_constructors_take_a_dtype(name, dtype):
    torch.manual_seed(0)
    quantizer = CLASSES[name](dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    for key, value in quantizer.state_dict().items():
        if "project_" in key:  # an ordinary weight
            assert value.dtype == dtype, key
        elif value.is_floating_point():  # codes and statistics
            assert value.dtype == (wide if key.endswith("codes") else value.dtype), key
            assert torch.finfo(value.dtype).bits >= 32, key
    x = torch.randn(SHAPES.get(name, (3, 17, 6)), dtype=torch.float32).to(dtype)
    for _ in range(2):
        out = quantizer(x)
    assert out.quantized.dtype == dtype
    assert out.quantized.isfinite().all()


def test_a_dtype_that_is_no_float_is_named():
    with pytest.raises(codeword.CodewordError, match=r"floating-point dtype.*torch\.int64"):
        VectorQuantizer(6, 11, dtype=torch.int64)

"""P8, whatever torch's default dtype and device are when a quantizer is built and run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from codeword import VectorQuantizer
from promises.cases import every_case

STEPS = 2


@contextmanager
def defaults(dtype: torch.dtype, device: str) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


def inputs(case) -> list[torch.Tensor]:
    """Float32 tensors on the CPU, made before any default is changed."""
    return [case.x(step) for step in range(STEPS + 1)]


def run(quantizer, xs) -> dict[str, torch.Tensor]:
    """All that a user sees of some steps and an inference."""
    seen = {}
    for step, x in enumerate(xs[:-1]):
        x = x.clone().requires_grad_()
        out = quantizer(x)
        (out.quantized.sum() + out.loss).backward()
        seen |= {f"{step} {name}": getattr(out, name) for name in ("quantized", "indices", "loss")}
        seen |= {f"{step} {name}": value for name, value in out.losses.items()} | {f"{step} grad": x.grad}
    seen["encoded"] = quantizer.encode(xs[-1])
    if quantizer.no_decode is None:
        seen["decoded"] = quantizer.decode(seen["encoded"])
    seen |= quantizer.usage()._asdict() | quantizer.state_dict()
    return {name: value.detach() for name, value in seen.items()}


def is_weight(key: str) -> bool:
    """Of an ordinary layer, which is of the default dtype as those of torch are."""
    return key.endswith((".weight", ".bias"))


# What is the default where it is built, where it runs and, while it runs, which device: none of it may matter.
SETTINGS = [
    (torch.bfloat16, torch.float16, "cpu"),
    (torch.float64, torch.float64, "meta"),
]


@every_case("P8", one_in=2)
def test_defaults_do_not_matter(case):
    xs = inputs(case)
    torch.manual_seed(0)
    expected = run(case.build(), xs)
    by_layers = any(map(is_weight, expected))  # their values are others then, and so are the rows
    for built, running, device in SETTINGS:
        torch.manual_seed(0)
        with defaults(built, "cpu"):
            quantizer, twin = case.build(), case.build()
        with defaults(running, device):
            seen = run(quantizer, xs)
        twin.load_state_dict(quantizer.state_dict(), strict=True)
        assert seen.keys() == expected.keys()
        for name, value in seen.items():
            assert value.device.type == "cpu", name
            if is_weight(name):
                continue
            assert not value.is_floating_point() or torch.finfo(value.dtype).bits >= 32, name
            if by_layers:
                assert value.isfinite().all(), name
            else:
                assert value.dtype == expected[name].dtype, name
                assert torch.equal(value, expected[name]), name
        for key, value in twin.state_dict().items():
            assert torch.equal(value, seen[key]), key


def test_a_device_context_is_where_it_is_built():
    with torch.device("meta"):
        quantizer = VectorQuantizer(6, 11, code_features=3)
    assert all(value.is_meta for value in quantizer.state_dict().values())

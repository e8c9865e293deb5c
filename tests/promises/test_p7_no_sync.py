"""P7: after the first batch, a training step asks the device for nothing that the host must wait for."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from promises.cases import every_case
from promises.operators import as_elsewhere

WAITS = {
    "_local_scalar_dense",  # item(), bool(), int()
    "nonzero",
    "masked_select",
    "unique_dim",
    "unique_consecutive",
    "_unique",
    "_unique2",
    "bincount",
    "repeat_interleave",
    "equal",
    "is_nonzero",
}


class Watch(TorchDispatchMode):
    """Notes every operator that waits, or whose result's shape depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator.overloadpacket.__name__
        by_mask = name in ("index", "index_put_", "index_put") and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if name in WAITS or by_mask:
            self.waits.append(name)
        return operator(*args, **(kwargs or {}))


@every_case("P7")
@as_elsewhere
def test_a_training_step_never_waits(case):
    quantizer = case.trained()
    x = case.x(5).requires_grad_()
    with Watch() as watch:
        for mask in (None, case.mask(x)):
            out = quantizer(x, mask)
            (out.quantized.sum() + out.loss).backward()
    assert watch.waits == []


def test_the_watch_sees_what_it_should():
    with Watch() as watch:
        x = torch.arange(3.0)
        x.sum().item(), x[x > 1], x.nonzero(), bool(x.sum() > 0)
    assert watch.waits == ["_local_scalar_dense", "index", "nonzero", "_local_scalar_dense"]

"""P9: nothing changes but in a training forward, and a forward inside backward is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from promises.cases import every_case


def unchanged(quantizer, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(v, before[k]) for k, v in quantizer.state_dict().items())


@pytest.mark.parametrize("fresh", [True, False])
@every_case("P9")
def test_eval_encode_and_decode_are_pure(case, fresh):
    quantizer = case.build() if fresh else case.trained()
    before = copy.deepcopy(quantizer.state_dict())
    for mode in (True, False):
        quantizer.train(mode)
        indices = quantizer.encode(case.x(5))
        if quantizer.no_decode is None:
            quantizer.decode(indices)
        quantizer.usage()
        assert unchanged(quantizer, before)
    quantizer(case.x(5))
    assert unchanged(quantizer, before)


@every_case("P9")
def test_encode_in_training_mode_equals_eval(case):
    quantizer = case.trained()
    indices = quantizer.encode(case.x(5))
    assert torch.equal(indices, quantizer.eval()(case.x(5)).indices)


@every_case("P9")
def test_training_forward_changes_state(case):
    quantizer = case.trained()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(case.x(5))
    assert not unchanged(quantizer, before)


@pytest.mark.parametrize("reentrant", [True, False])
@every_case("P9")
def test_activation_checkpointing_is_refused_in_training(case, reentrant):
    quantizer = case.trained()
    x = case.x(5).requires_grad_()
    out = checkpoint(lambda x: quantizer(x).quantized, x, use_reentrant=reentrant)
    with pytest.raises(RuntimeError, match="leave the quantizer out of the checkpointed part"):
        out.sum().backward()
    quantizer.eval()
    checkpoint(lambda x: quantizer(x).quantized, x, use_reentrant=reentrant).sum().backward()

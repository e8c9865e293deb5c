"""P9: nothing changes but in a training forward, and a forward inside backward is refused."""

from __future__ import annotations

import copy
import itertools
import re

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from codeword import CodewordError
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


# What a forward of these changes is the count of their use, or the number of a step that nothing is drawn in.
FROZEN = ("frozen", "linear", "code-gamma", "random-projection")


def learns(case, before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    """Whether a training forward taught the quantizer something, or drew."""
    changed = {key.rpartition(".")[2] for key in before if not torch.equal(before[key], after[key])}
    return bool(changed - {"usage_count"}) and case.name not in FROZEN


@every_case("P9")
def test_activation_checkpointing(case):
    """A forward again inside backward is refused where the codes would learn twice; all else is right.

    Where the graph keeps no tensor, a checkpoint that is not reentrant has nothing to compute again.
    """
    trained = case.trained(1)
    before = trained.state_dict()
    for training, reentrant in itertools.product((True, False), repeat=2):
        quantizer, plain = (copy.deepcopy(trained).train(training) for _ in range(2))
        x, y = (case.x(5).requires_grad_() for _ in range(2))
        expected = plain(y).quantized
        expected.sum().backward()
        out = checkpoint(lambda x, q=quantizer: q(x).quantized, x, use_reentrant=reentrant)
        refusal = ""
        try:
            out.sum().backward()
        except (RuntimeError, CodewordError) as error:
            refusal = str(error)
        if refusal or (reentrant and learns(case, before, plain.state_dict())):
            assert learns(case, before, plain.state_dict())
            assert re.search(r"\.eval\(\)|out of the checkpointed part", refusal)
            continue
        assert torch.equal(out, expected)
        assert torch.equal(x.grad, y.grad)
        assert unchanged(quantizer, plain.state_dict())  # and its use is counted once

"""Composites whose components differ: in estimator, in size, in how many indices they take."""

from __future__ import annotations

import pytest
import torch

import codeword
from codeword import Grouped, Residual, Rotation, VectorQuantizer


class Doubled(VectorQuantizer):
    """Its loss is twice that of its parent."""

    def _losses(self, assignment, rows, q, step):
        loss, losses = super()._losses(assignment, rows, q, step)
        return 2 * loss, losses


def pair(quantizer: type[VectorQuantizer] = VectorQuantizer, **options) -> Grouped:
    torch.manual_seed(0)
    grouped = Grouped([VectorQuantizer(4, 8), quantizer(4, 8, **options)])
    grouped(torch.randn(99, 8))
    return grouped.eval()


def test_each_group_has_its_own_estimator():
    grouped, x = pair(estimator=Rotation()), torch.randn(20, 8)
    weight = torch.randn(20, 8)
    whole = x.clone().requires_grad_()
    (grouped(whole).quantized * weight).sum().backward()
    for number, group in enumerate(grouped.quantizers):
        part = slice(4 * number, 4 * number + 4)
        own = x[:, part].clone().requires_grad_()
        (group(own).quantized * weight[:, part]).sum().backward()
        torch.testing.assert_close(whole.grad[:, part], own.grad)


def test_each_group_has_its_own_loss():
    grouped, x = pair(Doubled), torch.randn(20, 8)
    parts = [group(part).loss for group, part in zip(grouped.quantizers, x.chunk(2, -1), strict=True)]
    torch.testing.assert_close(grouped(x).loss, (parts[0] + parts[1]) / 2)


@pytest.mark.parametrize("parent", [Residual, Grouped])
def test_losses_are_pooled_as_a_subclass_says(parent):
    class Summed(parent):
        @staticmethod
        def pool(losses):
            return sum(loss for loss, _ in losses), {}

    torch.manual_seed(0)
    width = 8 if parent is Residual else 4
    quantizers = [VectorQuantizer(width, 8) for _ in range(2)]
    summed, mean = Summed(quantizers), parent(quantizers)
    summed(x := torch.randn(99, 8))
    torch.testing.assert_close(summed.eval()(x).loss, 2 * mean.eval()(x).loss)


@pytest.mark.parametrize("spec", ["gvq2x(rvq4x16)", "rvq2x(gvq2x(rvq4x16))"])
def test_fewer_stages_of_groups_decode(spec):
    quantizer = codeword.from_spec(spec, features=8)
    quantizer(x := torch.randn(99, 8))
    quantizer.eval()
    if "stages" in quantizer.call_options and spec.startswith("gvq"):
        few = quantizer.encode(x, stages=2)
        assert few.shape == (99, 2, 2)
        assert quantizer.decode(few).equal(quantizer(x, stages=2).quantized)
    few = quantizer.encode(x)[..., :3]
    assert quantizer.decode(few).shape == (99, 8)
    with pytest.raises(codeword.CodewordError, match=r"indices \(\.\.\., "):
        quantizer.decode(torch.zeros(99, *[5] * len(quantizer.index_shape), dtype=torch.int64))


def test_one_object_for_components_that_differ_is_refused():
    with pytest.raises(codeword.CodewordError, match="one quantizer for all with shared=true"):
        codeword.from_spec("rvq(vq16|vq32),shared=true", features=8)
    assert codeword.from_spec("rvq(vq16|vq16),shared=true", features=8).shared


def test_use_that_is_counted_in_two_ways_is_not_stacked():
    grouped = Grouped([codeword.LFQ(21, 21), codeword.LFQ(21, 3)])
    with pytest.raises(codeword.CodewordError, match="count their use alike"):
        grouped.usage()


def test_the_largest_group_bounds_the_indices_of_channels():
    layout = codeword.from_spec("channelwise(gvq(vq16|vq64)),split=4,groups=2", features=6, dim=1)
    assert layout.codebook_sizes == (64,)
    layout(x := torch.randn(40, 6, 8))
    assert layout.encode(x).max() >= 16


def test_stages_of_narrow_codes():
    """As in DAC: each stage has projections of its own."""
    stack = Residual.of(2, 64, 16, code_features=8, dropout=0.5)
    assert [stage.code_features for stage in stack.quantizers] == [8, 8]
    assert stack.dropout == 0.5
    with pytest.raises(codeword.CodewordError, match="call the class"):
        codeword.ResidualFSQ.of(2, 64, 16)

"""`HierarchicalVQ` beside the original, where scales, masks and dropout meet."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import codeword.compat.vector_quantize_pytorch as facade
from codeword import EMA, Multiscale, VectorQuantizer
from codeword.convolutions import Convolutions

original = pytest.importorskip("vector_quantize_pytorch")


def twins(x: Tensor, **options: Any) -> tuple[Any, Any]:
    """The original after a step, and the facade with its state."""
    options = {"dim": 8, "codebook_size": 6, "threshold_ema_dead_code": 0, **options}
    torch.manual_seed(0)
    theirs, ours = original.HierarchicalVQ(**options), facade.HierarchicalVQ(**options)
    theirs.eval()
    for part in theirs.modules():  # the first codes of all scales come from this batch
        if isinstance(part, original.VectorQuantize):
            part.train()
    theirs(x)
    ours.load_state_dict(theirs.state_dict())
    return theirs.train(), ours.train()


@pytest.mark.parametrize("masked", [False, True])
def test_multiscale_with_convolutions_is_its_loop(masked: bool) -> None:
    x = torch.randn(9, 8, 4, 6)
    theirs, _ = twins(x, scales=[1, (2, 3), (4, 6)], accept_image_fmap=True, quant_resi=0.3)
    part = VectorQuantizer(8, 6, update=EMA(init=None))
    part.codebook.init_from_(theirs.vq.codebook)
    sizes = ((1, 1), (2, 3), (4, 6))
    ours = Multiscale([part] * 3, sizes=sizes, dim=1, bicubic=False, convolutions=Convolutions(1, share=0.3))
    ours.blends[0].load_state_dict(theirs.phi_shared.conv.state_dict())
    mask = torch.rand(9, 4, 6) > 0.5 if masked else None
    expected, got = theirs.eval()(x, mask=mask), ours.eval()(x, mask)
    assert torch.equal(got.indices, torch.cat([index.flatten(1) for index in expected[1]], 1))
    torch.testing.assert_close(got.quantized, expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [-1, 0, 1, 2, 3, 4, 12])
def test_scales_have_the_convolutions_that_they_have_there(share: int) -> None:
    for scales in ([1], [1, 2, 4], list(range(1, 11))):
        chosen = []
        for home in (original, facade):
            layer = home.HierarchicalVQ(dim=8, codebook_size=4, scales=scales, share_quant_resi=share)
            found = [layer.choose_phi(level) for level in range(len(scales))]
            chosen.append([[part is other for other in found] for part in found])
        assert chosen[0] == chosen[1]


@pytest.mark.parametrize("ratio", [0.0, -0.4, 1.0])
def test_the_share_of_the_convolutions(ratio: float) -> None:
    x = torch.randn(6, 8, 4, 6)
    theirs, ours = twins(x, scales=[2, (4, 6)], accept_image_fmap=True, quant_resi=ratio)
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0])


@pytest.mark.parametrize("shared", [True, False])
def test_masks_of_pictures(shared: bool) -> None:
    x = torch.randn(9, 8, 4, 6)
    options = {"scales": [1, (2, 3), (4, 6)], "accept_image_fmap": True, "shared_codebook": shared}
    theirs, ours = twins(x, **options)
    mask = torch.rand(9, 4, 6) > 0.4
    mask[:, :2, :2] = False  # a token of the second scale
    for mode in (False, True):
        expected, got = (layer.train(mode)(x, mask=mask) for layer in (theirs, ours))
        for mine, own in zip(got[1], expected[1], strict=True):
            assert torch.equal(mine, own)
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got[2], expected[2], rtol=1e-4, atol=1e-5)


def test_nested_dropout_keeps_the_scales_that_it_keeps_there() -> None:
    x = torch.randn(20, 8, 6)
    theirs, ours = twins(x, scales=[1, 2, 3, 6], nested_dropout=0.7, nested_dropout_min_levels=2)
    cutoffs = []
    for seed in range(12):
        results = []
        for layer in (theirs, ours):
            torch.manual_seed(seed)
            results.append(layer(x, return_cutoff=True))
        expected, got = results
        assert got[3] == expected[3]
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got[2], expected[2], rtol=1e-4, atol=1e-4)
        cutoffs.append(got[3])
    assert set(cutoffs) == {1, 2, None}
    assert ours.eval()(x, return_cutoff=True)[3] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": [4, 2]}, "none smaller than the one before"),
        ({"scales": [(2, 3)]}, "scales of 1 sizes each"),
        ({"scales": [1, 2], "nested_dropout": 1.5}, "nested_dropout from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused_there_too(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError):
        original.HierarchicalVQ(dim=8, codebook_size=4, **options)
    with pytest.raises(ValueError, match=message):
        facade.HierarchicalVQ(dim=8, codebook_size=4, **options)

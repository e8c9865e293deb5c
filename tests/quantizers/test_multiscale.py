"""Multiscale residual quantization against its algorithm written out, with masks and with convolutions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from codeword import EMA, CodewordError, Grouped, Multiscale, Rotation, VectorQuantizer, from_spec
from codeword.convolutions import Convolutions
from codeword.estimators import Sampled
from codeword.functional.resize import resize_maps

FEATURES = 5
SIZES = ((1, 1), (2, 3), (4, 6))


def build(shared: bool = True, sizes=SIZES, **options) -> Multiscale:
    torch.manual_seed(0)
    rule = EMA(decay=0.9, revival=None)
    parts = [VectorQuantizer(FEATURES, 8, update=rule) for _ in sizes]
    return Multiscale([parts[0]] * len(sizes) if shared else parts, sizes=sizes, dim=1, **options)


def maps(seed: int, count: int = 20, size: tuple[int, ...] = SIZES[-1]) -> torch.Tensor:
    return torch.randn(count, FEATURES, *size, generator=torch.Generator().manual_seed(seed))


def shaken(quantizer: Multiscale) -> Multiscale:
    """With convolutions that do something."""
    with torch.no_grad():
        for part in quantizer.blends.parameters():
            part += 0.2 * torch.randn(part.shape, generator=torch.Generator().manual_seed(part.ndim))
    return quantizer


def written_out(
    quantizer: Multiscale, f: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
    """Algorithm 1 of VAR, in float64 with torch's own resizing: tokens, and sums and errors after each scale.

    With a mask the means are those of valid places, and tokens without any are left out.
    """
    f = f.double()
    seen = torch.ones_like(f[:, :1]) if mask is None else mask[:, None].double()
    total, left = torch.zeros_like(f), torch.where(seen > 0, f, 0)
    tokens, sums, errors = [], [], []
    for number, (part, size) in enumerate(zip(quantizer.components, SIZES, strict=True)):
        share = F.interpolate(seen, size, mode="area")
        small = F.interpolate(left, size, mode="area") / share.clamp_min(1e-9)
        small, there = small.permute(0, 2, 3, 1), share[:, 0] > 0
        codes = part.codebook.codes.double()
        index = (small[..., None, :] - codes).square().sum(-1).argmin(-1)
        errors.append((small - codes[index])[there].square().mean())
        chosen = torch.where(there[..., None], codes[index], 0).permute(0, 3, 1, 2)
        grown = F.interpolate(chosen, SIZES[-1], mode="bicubic", align_corners=False)
        if quantizer.convolutions is not None:
            blend = quantizer.blends[(0, 0, 1)[number]]
            moved = F.conv2d(grown, blend.weight.double(), blend.bias.double(), padding=1)
            grown = 0.7 * grown + 0.3 * moved
        total, left = total + grown, (left - grown) * seen
        tokens.append(torch.where(there, index, -1).flatten(1))
        sums.append(total)
    return tokens, sums, errors


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_it_is_the_algorithm(shared, blended):
    quantizer = build(shared, convolutions=Convolutions(2, share=0.3) if blended else None)
    for step in range(3):
        quantizer(maps(step))
    shaken(quantizer).eval()
    x = maps(9)
    out = quantizer(x)
    tokens, sums, errors = written_out(quantizer, x)
    assert torch.equal(out.indices, torch.cat(tokens, 1))
    torch.testing.assert_close(out.quantized.double(), sums[-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        out.losses["commitment"].double(), torch.stack(errors).mean(), atol=1e-6, rtol=1e-5
    )
    for n in (1, 2, 3):
        prefix = quantizer.decode(out.indices, scales=n)
        torch.testing.assert_close(prefix.double(), sums[n - 1], atol=1e-5, rtol=0)
        assert torch.equal(quantizer.encode(x, scales=n), torch.cat(tokens[:n], 1))
        assert torch.equal(quantizer.decode(torch.cat(tokens[:n], 1)), prefix)
        assert torch.equal(quantizer(x, scales=n).quantized, prefix)


def some_places(seed: int) -> torch.Tensor:
    """A mask of which whole areas are invalid, and one whole map."""
    mask = torch.rand(20, *SIZES[-1], generator=torch.Generator().manual_seed(seed)) > 0.5
    mask[:, :2, :4] = False
    mask[3] = False
    return mask


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_a_mask_leaves_places_out(shared, blended):
    quantizer = build(shared, convolutions=Convolutions(2, share=0.3) if blended else None)
    quantizer.reset_usage()
    count = 0
    for step in range(3):
        mask = some_places(step)
        out = quantizer(torch.where(mask[:, None], maps(step), torch.nan), mask)
        count += int((out.indices >= 0).sum())
        assert torch.where(mask[:, None], quantizer.decode(out.indices), 0).equal(out.quantized)
    learned = {id(part): int(part.codebook.usage_count.sum()) for part in quantizer.components}
    assert sum(learned.values()) == count
    shaken(quantizer).eval()
    x, mask = maps(9).requires_grad_(), some_places(9)
    out = quantizer(x, mask)
    tokens, sums, errors = written_out(quantizer, x.detach(), mask)
    assert torch.equal(out.indices, torch.cat(tokens, 1))
    assert (out.indices[3] == -1).all()
    expected = torch.where(mask[:, None], sums[-1], 0)
    torch.testing.assert_close(out.quantized.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(out.losses["commitment"].double(), torch.stack(errors).mean())
    assert torch.equal(quantizer.encode(x, mask, scales=2), torch.cat(tokens[:2], 1))
    if blended:
        missed = (sums[-1] - x.detach()).movedim(1, -1)[mask].square().mean()
        torch.testing.assert_close(out.losses["convolutions"].double(), missed)
    (out.loss + out.quantized.sum()).backward()
    assert (x.grad.movedim(1, -1)[~mask] == 0).all()
    assert (x.grad.movedim(1, -1)[mask] != 0).all()


def test_a_masked_map_is_none():
    """As in a batch without it, through training."""
    masked, cropped = build(), build()
    keep = torch.arange(20) % 3 > 0
    mask = keep[:, None, None].expand(20, *SIZES[-1])
    for step in range(3):
        x = maps(step)
        one, other = masked(x, mask), cropped(x[keep])
        assert torch.equal(one.indices[keep], other.indices)
        torch.testing.assert_close(one.loss, other.loss)
    for key, value in cropped.state_dict().items():
        torch.testing.assert_close(masked.state_dict()[key], value, msg=key)


def test_convolutions_begin_as_none_and_bring_the_error_down():
    plain, blended = build(), build(convolutions=Convolutions(count=2))
    for step in range(2):
        assert torch.equal(plain(maps(step)).indices, blended(maps(step)).indices)
    rule = torch.optim.Adam(blended.blends.parameters(), 0.01)
    blended.eval()  # the codes stay
    losses = []
    for _ in range(15):
        out = blended(maps(5))
        rule.zero_grad()
        out.losses["convolutions"].backward()
        rule.step()
        losses.append(float(out.losses["convolutions"].detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_the_output_trains_convolutions_past_the_estimator_of_the_parts():
    """The gradient of the output: to its weights as that of a convolution, to the input as without it."""
    torch.manual_seed(0)
    parts = [VectorQuantizer(FEATURES, 8, estimator=Rotation()) for _ in SIZES]
    quantizer = Multiscale(parts, sizes=SIZES, dim=1, convolutions=Convolutions(1))
    quantizer(maps(0))
    quantizer.eval()
    x, towards = maps(1).requires_grad_(), maps(2)
    bias = quantizer.blends[0].bias
    to_x, to_bias = torch.autograd.grad((quantizer(x).quantized * towards).sum(), [x, bias])
    torch.testing.assert_close(to_bias, 3 * 0.5 * towards.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    quantizer.convolutions = None  # they are the identity still
    (without,) = torch.autograd.grad((quantizer(x).quantized * towards).sum(), x)
    torch.testing.assert_close(to_x, without)


@pytest.mark.parametrize(("old", "new"), [((3,), (7,)), ((2, 3), (4, 6)), ((4,), (4,)), ((1,), (5,))])
def test_linear_upsampling_is_that_of_torch(old, new):
    x = torch.randn(2, *old, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mode = "linear" if len(old) == 1 else "bilinear"
    expected = F.interpolate(x.movedim(-1, 1), new, mode=mode, align_corners=False).movedim(1, -1)
    torch.testing.assert_close(resize_maps(x, old, new, "bilinear"), expected)


@pytest.mark.parametrize("rule", [None, Convolutions(3)])
def test_dropout_leaves_out_the_finest_scales_of_some_maps(rule):
    quantizer = shaken(build(dropout=0.5, minimum_scales=2, bicubic=False, convolutions=rule))
    quantizer(maps(0))
    x = maps(1, count=400)
    out = quantizer(x)
    first, second, third = out.indices.split([1, 6, 24], 1)
    assert (first >= 0).all()
    assert (second >= 0).all()
    gone = (third < 0).all(1)
    assert gone.equal((third < 0).any(1))
    assert gone.float().mean() == pytest.approx(0.25, abs=0.08)  # of half of them, half
    torch.testing.assert_close(quantizer.decode(out.indices), out.quantized)
    short = quantizer.decode(out.indices[:, :7])
    assert out.quantized[gone].equal(short[gone])
    assert (quantizer.eval()(x).indices >= 0).all()


def test_options_out_of_range_are_refused():
    for share in (0.0, 1.5):
        with pytest.raises(CodewordError, match="a share of Convolutions above 0"):
            Convolutions(share=share)
    for options, said in (
        ({"convolutions": 4}, "a part for convolutions, but got 4"),
        ({"dropout": 1.5}, "dropout from 0 to 1"),
        ({"minimum_scales": 4}, "minimum_scales from 1 to 3"),
    ):
        with pytest.raises(CodewordError, match=said):
            build(**options)


@pytest.mark.parametrize("shared", [True, False])
def test_a_step_of_learning_sees_every_token_once(shared):
    quantizer = build(shared)
    quantizer(maps(0))
    quantizer.reset_usage()
    out = quantizer(maps(1))
    counts = [1, 6, 24]
    if shared:
        assert int(quantizer.components[0].codebook.usage_count.sum()) == 20 * sum(counts)
        hits = torch.bincount(out.indices.flatten(), minlength=8)
        assert torch.equal(quantizer.components[0].codebook.usage_count, hits)
    else:
        assert [int(part.codebook.usage_count.sum()) for part in quantizer.components] == [
            20 * count for count in counts
        ]
    assert torch.equal(quantizer.decode(out.indices), out.quantized)


def test_finer_scales_bring_the_error_down():
    ramp = torch.linspace(-1, 1, 8)
    smooth = (
        maps(0, 60, (1, 1)) + 0.7 * maps(1, 60, (1, 1)) * ramp[:, None] + 0.5 * maps(2, 60, (1, 1)) * ramp
    )
    sizes = ((1, 1), (2, 2), (4, 4), (8, 8))
    quantizer = build(sizes=sizes, shared=False)
    for _ in range(20):
        quantizer(smooth)
    indices = quantizer.eval().encode(smooth)
    errors = [float((quantizer.decode(indices, scales=n) - smooth).square().mean()) for n in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_the_encoder_gets_the_gradient_of_one_quantizer():
    quantizer = build()
    x = maps(0).requires_grad_()
    weight = maps(1)
    (gradient,) = torch.autograd.grad((quantizer(x).quantized * weight).sum(), x)
    assert torch.equal(gradient, weight)


def test_sequences_and_other_axes():
    sizes = (1, 3, 6)
    x = maps(0, 7, (6,))
    first = build(sizes=sizes)
    out = first(x)
    assert out.indices.shape == (7, 10)
    assert torch.equal(first.decode(out.indices), out.quantized)
    last = Multiscale([copy.deepcopy(first.components[0])] * 3, sizes=sizes).eval()
    moved = last(x.movedim(1, -1).view(1, 7, 6, FEATURES))
    assert torch.equal(moved.indices[0], first.eval()(x).indices)
    assert torch.equal(moved.quantized[0].movedim(-1, 1), first(x).quantized)
    nested = Multiscale([Grouped([VectorQuantizer(2, 4), VectorQuantizer(2, 4)])] * 2, sizes=(1, 6))
    assert nested(torch.randn(3, 6, 4)).indices.shape == (3, 7, 2)
    assert nested.codebook_sizes == (4,) * 14


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_map_that_is_not_finite_harms_no_other(shared, poison):
    quantizer = build(shared)
    for step in range(3):
        x = maps(step)
        x[::3, 1, 2, 0] = poison
        sick = torch.arange(20) % 3 == 0
        cropped = copy.deepcopy(quantizer)
        expected = cropped(x[~sick])
        x.requires_grad_()
        out = quantizer(x)
        assert out.quantized[sick].isnan().all()
        assert torch.equal(out.indices[~sick], expected.indices)
        assert (out.indices[sick] == 0).all()
        torch.testing.assert_close(out.quantized[~sick], expected.quantized)
        torch.testing.assert_close(out.loss, expected.loss)
        (out.quantized[~sick].sum() + out.loss).backward()
        assert x.grad.isfinite().all()
    for key, value in cropped.state_dict().items():
        torch.testing.assert_close(quantizer.state_dict()[key], value, msg=key)


def test_no_maps():
    for quantizer in (build(), build(shared=False)):
        empty = maps(0, 0)
        for _ in range(2):
            out = quantizer(empty)
            assert out.quantized.shape == empty.shape
            assert out.indices.shape == (0, 31)
            assert out.loss == 0
            assert quantizer.decode(out.indices).shape == empty.shape
        assert not quantizer.ready
        assert quantizer(maps(0)).quantized.isfinite().all()


def trained_on_ranks(rank: int, size: int, shared: bool) -> dict[str, torch.Tensor]:
    quantizer = build(shared)
    for step in range(4):
        shares = maps(step, 17).split([5, 0, 9, 3]) if size > 1 else [maps(step, 17)]
        quantizer(shares[(rank + step) % size])
    for step in range(2):  # one rank alone has a mask
        x, mask = maps(step, 17), some_places(step)[:17]
        mask[5:] = True
        parts = [(x[:5], mask[:5]), (x[5:14], None), (x[14:], None), (x[:0], None)]
        quantizer(*(parts[rank] if size > 1 else (x, mask)))
    return quantizer.state_dict()


@pytest.mark.parametrize("shared", [True, False])
def test_ranks_equal_one_process(ranks, shared):
    """But for the order of the maps, which the draws of the first codes depend on: it is the same in the first step."""
    alone = trained_on_ranks(0, 1, shared)
    for state in ranks.run(trained_on_ranks, ranks.size, shared):
        for key, value in alone.items():
            torch.testing.assert_close(state[key], value, atol=1e-5, rtol=1e-5, msg=key)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build()(maps(0), torch.ones(20, 1, 6).bool()), r"a mask of shape \(20, 4, 6\)"),
        (
            lambda: build()(maps(0, 2, (6, 4))),
            r"maps of size \(4, 6\), that of the last scale, but got shape",
        ),
        (lambda: build()(maps(0)[:, :, 0]), r"maps of size \(4, 6\)"),
        (lambda: build().encode(maps(0), scales=4), "scales from 1 to 3, but got 4"),
        (lambda: build().decode(torch.zeros(2, 8).long()), r"indices \(..., 1 or 7 or 31\), but got shape"),
        (lambda: build().decode(torch.full((2, 7), 8)), "indices from 0 to 7 .* but got 8"),
        (lambda: build(sizes=((2, 2), (1, 1))), "none smaller than the one before"),
        (lambda: build(sizes=((2, 2), 4)), "sizes of the same number of axes"),
        (lambda: build(sizes=((0, 2), (4, 4))), "2 sizes"),
        (
            lambda: from_spec("multiscale2x(rvq2x4,stagewise=true),sizes=(1,2)", features=4),
            "without stagewise",
        ),
        (lambda: from_spec("multiscale2x(rpq4),sizes=(1,2)", features=4), "without no_decode"),
        (
            lambda: from_spec("gvq2x(multiscale2x4,sizes=(1,2))", features=4),
            r"vectors one by one, but got .* maps of size \(2,\)",
        ),
        (lambda: from_spec("multiscale(vq4|vq4,code_features=2),sizes=(1,2,3)", features=4), "2 sizes"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


def test_the_estimator_of_the_parts_passes_the_gradient() -> None:
    """The rotation trick at each place: J = (|q| / |x|) (I - (u + v)(u + v)' / (1 + u v) + 2 v u')."""
    torch.manual_seed(0)
    parts = [VectorQuantizer(3, 8, estimator=Rotation()) for _ in range(2)]
    quantizer = Multiscale(parts, sizes=((1, 1), (2, 3)))
    quantizer(torch.randn(20, 2, 3, 3))
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    out, towards = quantizer.eval()(x), torch.randn(4, 2, 3, 3)
    (got,) = torch.autograd.grad((out.quantized * towards).sum(), x)
    rows, q, g = (part.detach().double().numpy().reshape(-1, 3) for part in (x, out.quantized, towards))
    for row, code, back, gradient in zip(rows, q, g, got.reshape(-1, 3).numpy(), strict=True):
        u, v = row / np.linalg.norm(row), code / np.linalg.norm(code)
        turn = np.eye(3) - np.outer(u + v, u + v) / (1 + u @ v) + 2 * np.outer(v, u)
        expected = np.linalg.norm(code) / np.linalg.norm(row) * turn.T @ back
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_scales_of_one_part_draw_for_themselves() -> None:
    torch.manual_seed(0)
    part = VectorQuantizer(3, 64, estimator=Sampled(temperature=1e6))  # any code, whatever the row is
    quantizer = Multiscale([part] * 2, sizes=((4, 4), (4, 4)))
    first, second = quantizer(torch.randn(9, 4, 4, 3)).indices.unflatten(-1, (2, -1)).unbind(-2)
    assert (first == second).float().mean() < 0.1

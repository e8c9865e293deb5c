"""Product quantization against its groups quantized by themselves."""

from __future__ import annotations

import copy

import pytest
import torch

import codeword
from codeword import CodewordError, Grouped, Residual, VectorQuantizer
from codeword.codebooks import Codebook

UNDRAWN = "vq5,update=ema(revival=none)"  # whose steps are no matter of chance


def rows(seed: int, count: int = 100) -> torch.Tensor:
    return torch.randn(2, count, 6, generator=torch.Generator().manual_seed(seed))


def alone(grouped: Grouped) -> list[codeword.Quantizer]:
    """Each group's quantizer once more, in the same state."""
    copies = [codeword.from_spec(part.spec, features=part.features) for part in grouped.components]
    for twin, part in zip(copies, grouped.components, strict=True):
        twin.load_state_dict(part.state_dict())
    return copies


@pytest.mark.parametrize("spec", ["gvq3x({})", "gvq2x(rvq3x({}))"])
def test_groups_are_quantized_as_if_alone(spec):
    grouped = codeword.from_spec(spec.format(UNDRAWN), features=6)
    grouped(rows(0))  # whose first codes are drawn
    parts = alone(grouped)
    for step in range(1, 5):
        x = rows(step).requires_grad_()
        out = grouped(x)
        slices = x.detach().chunk(len(parts), -1)
        expected = [part(piece) for part, piece in zip(parts, slices, strict=True)]
        assert torch.equal(out.quantized, torch.cat([e.quantized for e in expected], -1))
        assert torch.equal(out.indices, torch.stack([e.indices for e in expected], 2))
        torch.testing.assert_close(out.loss, torch.stack([e.loss for e in expected]).mean())
        (gradient,) = torch.autograd.grad(out.quantized.sum(), x)
        assert (gradient == 1).all()
    assert torch.equal(grouped.decode(out.indices), out.quantized)


def test_a_shared_codebook_learns_from_all_groups_as_from_more_rows():
    torch.manual_seed(0)
    grouped = Grouped([VectorQuantizer(2, 7, update=codeword.EMA(revival=None))] * 3)
    assert grouped(rows(0)).indices.shape == (2, 100, 3)
    (vq,) = alone(Grouped([grouped.components[0]]))
    for step in range(1, 5):
        x = rows(step)
        out, expected = grouped(x), vq(x.reshape(-1, 2))
        assert torch.equal(out.quantized.view(-1, 2), expected.quantized)
        assert torch.equal(out.indices.flatten(), expected.indices)
        assert torch.equal(out.loss, expected.loss)
    assert set(grouped.state_dict()) == {"rng.key", *(f"quantizers.0.{key}" for key in vq.state_dict())}


def test_choices_reach_the_groups():
    grouped = codeword.from_spec("gvq2x(rvq3x5)", features=6)
    out = grouped(rows(0), stages=2)
    assert out.indices.shape == (2, 100, 2, 2)
    indices = grouped.eval().encode(rows(1))
    assert torch.equal(grouped.encode(rows(1), stages=2), indices[..., :2])
    assert torch.equal(grouped.decode(indices, stages=2), grouped(rows(1), stages=2).quantized)
    assert grouped.encode(rows(1), beam=3).shape == indices.shape


def test_gradients_through_projections_are_exact():
    torch.manual_seed(0)
    grouped = Grouped([VectorQuantizer(3, 16, code_features=2, penalties=()) for _ in range(2)])
    x = rows(0).requires_grad_()
    weight = rows(1)
    (grouped(x).quantized * weight).sum().backward()
    for part, g, w in zip(grouped.components, x.grad.chunk(2, -1), weight.chunk(2, -1), strict=True):
        torch.testing.assert_close(g, w @ part.project_out.weight @ part.project_in.weight)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Grouped([VectorQuantizer(4, 4), VectorQuantizer(5, 4)]),
            "components of one width and kind, but got vq4 of 4 features, vq4 of 5 features",
        ),
        (
            lambda: Grouped([Residual([VectorQuantizer(4, 4)] * 2), Grouped([VectorQuantizer(2, 4)] * 2)]),
            "one width and kind",
        ),
        (lambda: codeword.from_spec("gvq2x4", features=6).decode(torch.tensor([[0, -1]])), "-1 for some"),
        (lambda: codeword.from_spec("gvq2x4", features=6).decode(torch.tensor([0])), r"indices \(..., 2\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


def problems(quantizer: codeword.Quantizer, monkeypatch) -> list[int]:
    """How many codebooks learn in each of the problems of a step."""
    quantizer(rows(0))
    sizes, learn = [], Codebook.learn_
    with monkeypatch.context() as patched:
        patched.setattr(
            Codebook,
            "learn_",
            staticmethod(lambda books, seen: sizes.append(len(books)) or learn(books, seen)),
        )
        quantizer(rows(1))
    return sizes


@pytest.mark.parametrize("options", ["", ",cosine", ",code_features=2"])
def test_groups_that_are_alike_learn_as_one_problem(options, monkeypatch):
    torch.manual_seed(0)
    quantizer = codeword.from_spec(f"gvq3x({UNDRAWN}{options})", features=6)
    assert problems(quantizer, monkeypatch) == [3]
    one_by_one = copy.deepcopy(quantizer)
    for group in one_by_one.components:
        group.codebook.groups = False
    assert problems(one_by_one, monkeypatch) == [1, 1, 1]
    one_by_one.load_state_dict(quantizer.state_dict())
    for step in range(3):
        mine, theirs = quantizer(rows(step)), one_by_one(rows(step))
        assert torch.equal(mine.quantized, theirs.quantized)
        assert torch.equal(mine.indices, theirs.indices)
        assert torch.equal(mine.loss, theirs.loss)
    for key, value in one_by_one.state_dict().items():
        assert torch.equal(quantizer.state_dict()[key], value)


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ("gvq2x6,shared=true", [1]),
        ("gvq2x(rvq2x4)", [4]),
        ("gvq(vq4|vq5)", [1, 1]),
        ("gvq(vq4|vq4,cosine)", [1, 1]),
    ],
)
def test_only_equal_codebooks_learn_as_one_problem(spec, sizes, monkeypatch):
    assert problems(codeword.from_spec(spec, features=6), monkeypatch) == sizes


def test_dropout_keeps_the_first_groups_alone():
    grouped = codeword.from_spec(f"gvq3x({UNDRAWN}),dropout=1.0", features=6)
    whole = codeword.from_spec(f"gvq3x({UNDRAWN})", features=6)
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    grouped(x)
    whole.load_state_dict(grouped.state_dict())
    x = x.flip(0).requires_grad_()
    out, plain = grouped(x), whole(x)
    stays = out.indices >= 0
    assert (stays.int().diff(dim=1) <= 0).all()  # nested: once left out, all that follow are
    assert torch.equal(out.indices[stays], plain.indices[stays])
    counts = torch.bincount(stays.sum(1), minlength=4)
    assert counts[0] == 0
    assert (counts[1:] > 60).all()
    features = stays.repeat_interleave(2, 1)
    assert torch.equal(out.quantized, torch.where(features, plain.quantized, 0.0))
    (gradient,) = torch.autograd.grad(out.quantized.sum(), x, retain_graph=True)
    assert torch.equal(gradient, features.float())
    errors = (plain.quantized - x).detach().double().square().unflatten(1, (3, 2)).mean(2)
    expected = ((errors * stays).sum(0) / stays.sum(0)).mean()
    assert float(out.losses["commitment"].detach()) == pytest.approx(float(expected), rel=1e-5)
    for name, value in whole.state_dict().items():  # all codes learn from all rows
        if "codebook" in name:
            assert torch.equal(grouped.state_dict()[name], value), name


@pytest.mark.parametrize(
    "spec", ["gvq3x5,dropout=0.5", "gvq3x5,dropout=0.5,shared=true", "gvq2x(rvq3x5),dropout=0.5"]
)
def test_the_first_groups_decode_by_themselves(spec):
    grouped = codeword.from_spec(spec, features=6)
    grouped(rows(0))
    grouped.eval()
    indices = grouped.encode(rows(1))
    whole = grouped.decode(indices)
    for count in range(1, grouped.count):
        some = grouped.decode(indices[:, :, :count])
        features = count * 6 // grouped.count
        assert torch.equal(some[..., :features], whole[..., :features])
        assert not some[..., features:].any()
        marked = indices.clone()
        marked[:, :, count:] = -1
        assert torch.equal(grouped.decode(marked), some)


def test_bad_dropout_and_masks_are_refused():
    with pytest.raises(CodewordError, match="dropout from 0 to 1, but got 1.5"):
        Grouped.of(2, 6, 5, dropout=1.5)
    grouped = Grouped.of(2, 6, 5, dropout=0.5)
    with pytest.raises(CodewordError, match="-1 for the last groups of a vector"):
        grouped.decode(torch.tensor([[-1, 3]]))
    with pytest.raises(CodewordError, match=r"indices \(..., 2\)"):
        grouped.decode(torch.zeros(4, 3, dtype=torch.long))
    with pytest.raises(CodewordError, match="for none, but got -1 for some"):
        Grouped.of(2, 6, 5).decode(torch.tensor([[3, -1]]))

"""Product quantization against its groups quantized by themselves."""

from __future__ import annotations

import copy

import pytest
import torch

import codeword
from codeword import CodewordError, Grouped, Residual, VectorQuantizer
from codeword.kernels import nearest as kernel


def rows(seed: int, count: int = 100) -> torch.Tensor:
    return torch.randn(2, count, 6, generator=torch.Generator().manual_seed(seed))


def alone(grouped: Grouped) -> list[codeword.Quantizer]:
    """Each group's quantizer once more, in the same state."""
    copies = [codeword.from_spec(part.spec, features=part.features) for part in grouped.parts]
    for twin, part in zip(copies, grouped.parts, strict=True):
        twin.load_state_dict(part.state_dict())
    return copies


@pytest.mark.parametrize("spec", ["gvq3x5", "gvq2x(rvq3x5)"])
def test_groups_are_quantized_as_if_alone(spec):
    grouped = codeword.from_spec(spec, features=6)
    parts = alone(grouped)
    for step in range(4):
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
    grouped = Grouped([VectorQuantizer(2, 7)] * 3)
    (vq,) = alone(Grouped([grouped.parts[0]]))
    for step in range(4):
        x = rows(step)
        out, expected = grouped(x), vq(x.reshape(-1, 2))
        assert torch.equal(out.quantized.view(-1, 2), expected.quantized)
        assert torch.equal(out.indices.flatten(), expected.indices)
        assert torch.equal(out.loss, expected.loss)
    assert len(grouped.state_dict()) == len(vq.state_dict())


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
    for part, g, w in zip(grouped.parts, x.grad.chunk(2, -1), weight.chunk(2, -1), strict=True):
        torch.testing.assert_close(g, w @ part.project_out.weight @ part.project_in.weight)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Grouped([VectorQuantizer(4, 4), VectorQuantizer(5, 4)]),
            "parts of one width and kind, but got vq4 of 4 features, vq4 of 5 features",
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


@pytest.mark.parametrize("options", ["", ",cosine", ",sampled(0.5)"])
def test_groups_that_are_alike_are_searched_in_one_launch(options, monkeypatch):
    torch.manual_seed(0)
    quantizer = codeword.from_spec(f"gvq4x8{options}", features=12)
    one_by_one = copy.deepcopy(quantizer)
    assert quantizer.together
    one_by_one.together = False
    launches = []
    search = kernel.nearest
    monkeypatch.setattr(
        kernel, "nearest", lambda rows, *rest: launches.append(rows.shape[0]) or search(rows, *rest)
    )
    for step in range(3):
        x = torch.randn(50, 12, generator=torch.Generator().manual_seed(step))
        for mine, theirs in zip(quantizer(x)[:3], one_by_one(x)[:3], strict=True):
            assert torch.equal(mine, theirs)
        launches.clear()
        assert torch.equal(quantizer.encode(x), one_by_one.encode(x))
        assert launches == [4, 1, 1, 1, 1]
    for key, value in one_by_one.state_dict().items():
        assert torch.equal(quantizer.state_dict()[key], value)


@pytest.mark.parametrize(
    "spec", ["gvq2x6,shared=true", "gvq2x(rvq2x4)", "gvq(vq4|vq5)", "gvq(vq4|vq4,cosine)"]
)
def test_groups_that_differ_are_searched_one_by_one(spec):
    assert not codeword.from_spec(spec, features=12).together

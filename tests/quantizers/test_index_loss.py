"""The loss of given indices, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import CodewordError, Cosine, Grouped, Residual, VectorQuantizer, from_spec
from codeword.quantizers import index_loss
from codeword.updates import Gradient

DRAWS = torch.Generator()


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=DRAWS.manual_seed(seed), dtype=torch.float32)


def surprise(logits: np.ndarray, index: int) -> float:
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[index])


def codes_of(vq: torch.nn.Module) -> np.ndarray:
    return vq.codebook.codes.detach().double().numpy()


def distances(row: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return -np.sqrt(((row - codes) ** 2).sum(1))


def test_it_is_the_mean_of_minus_the_log_of_a_softmax():
    vq = VectorQuantizer(4, 9).eval()
    x, indices = vectors(3, 5, 4), torch.arange(15).view(3, 5) % 9
    indices[0, 0] = -1
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[2, 4] = False
    pairs = list(zip(x.flatten(0, 1).double().numpy(), indices.flatten().tolist(), strict=True))[1:-1]
    expected = np.mean([surprise(distances(row, codes_of(vq)), index) for row, index in pairs])
    assert float(index_loss(vq, x, indices, mask)) == pytest.approx(expected, rel=1e-5)


def test_angles_are_compared_by_the_cosine():
    vq = VectorQuantizer(4, 9, metric=Cosine(unit=True)).eval()
    x, indices = vectors(6, 4), torch.arange(6)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x.double().numpy(), codes_of(vq))]
    expected = np.mean([surprise(unit[1] @ row, index) for index, row in enumerate(unit[0])])
    assert float(index_loss(vq, x, indices)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_stages_see_what_the_given_codes_leave(shared):
    stages = [VectorQuantizer(4, 7)] * 2 if shared else [VectorQuantizer(4, 7), VectorQuantizer(4, 5)]
    rvq = Residual(stages).eval()
    x, indices = vectors(5, 4), torch.tensor([[0, 1], [2, 3], [4, 4], [1, -1], [3, 0]])
    losses = []
    for row, pair in zip(x.double().numpy(), indices.tolist(), strict=True):
        for stage, index in zip(rvq.components, pair, strict=True):
            if index >= 0:
                losses.append(surprise(distances(row, codes_of(stage)), index))
                row = row - codes_of(stage)[index]
    assert float(index_loss(rvq, x, indices)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_groups_see_their_features(shared):
    groups = [VectorQuantizer(2, 7)] * 3 if shared else [VectorQuantizer(2, 7) for _ in range(3)]
    gvq = Grouped(groups).eval()
    x, indices = vectors(4, 6), torch.arange(12).view(4, 3) % 7
    losses = [
        surprise(distances(row[2 * g : 2 * g + 2], codes_of(gvq.components[g])), index[g])
        for row, index in zip(x.double().numpy(), indices.tolist(), strict=True)
        for g in range(3)
    ]
    assert float(index_loss(gvq, x, indices)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_predictor_learns_the_codes_of_its_targets():
    vq = VectorQuantizer(4, 9)
    target = vectors(200, 4)
    for _ in range(20):
        indices = vq(target).indices
    vq.eval()
    predicted = vectors(200, 4, seed=1).requires_grad_()
    optimizer = torch.optim.Adam([predicted], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        index_loss(vq, predicted, indices).backward()
        optimizer.step()
    assert vq.encode(predicted).eq(indices).float().mean() > 0.95


def test_codes_that_learn_by_gradient_get_one_and_nothing_else_changes():
    vq = VectorQuantizer(
        4, 9, update=Gradient(), estimator=from_spec("vq9,directional,gradient", features=4).estimator
    )
    vq(vectors(50, 4))
    before = {name: value.clone() for name, value in vq.state_dict().items()}
    index_loss(vq, vectors(5, 4), torch.arange(5)).backward()
    assert vq.codebook.codes.grad.abs().sum() > 0
    assert all(value.equal(before[name]) for name, value in vq.state_dict().items())


def test_none_that_counts_is_zero():
    vq = VectorQuantizer(4, 9)
    assert float(index_loss(vq, vectors(3, 4), torch.full((3,), -1))) == 0


@pytest.mark.parametrize(
    ("spec", "indices", "said"),
    [
        ("vq9", torch.zeros(2, dtype=torch.int64), "pass what encode returned"),
        ("fsq5-5-5-5", torch.zeros(3, dtype=torch.int64), "codes have distances"),
        ("vq9", torch.full((3,), 9), "from 0 to 8"),
    ],
    ids=["shape", "levels", "range"],
)
def test_what_cannot_be_is_refused(spec, indices, said):
    with pytest.raises(CodewordError, match=said):
        index_loss(from_spec(spec, features=4), vectors(3, 4), indices)

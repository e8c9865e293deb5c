"""LFQ, BSQ, Binarize, Bitcodes and random projections against their formulas in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import codeword
from codeword import BSQ, LFQ, Binarize, CodewordError, RandomProjection
from codeword.functional import Valid, bit_entropy, regroup_bits, to_bits, to_indices
from codeword.quantizers import Bitcodes


def rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax_over_codes(x: np.ndarray, codes: np.ndarray, temperature: float) -> np.ndarray:
    logits = -((x[:, None] - codes) ** 2).sum(-1) / temperature
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


@pytest.mark.parametrize("bits", [1, 3, 6])
@pytest.mark.parametrize("kind", ["lfq", "bsq"])
def test_signs_are_the_nearest_corners_and_the_losses_those_of_the_softmax(bits, kind):
    scale = 1.0 if kind == "lfq" else bits**-0.5
    corners = scale * np.array(list(itertools.product([-1.0, 1.0], repeat=bits)))
    build = LFQ if kind == "lfq" else BSQ
    quantizer = build(bits, bits, temperature=0.7, diversity=0.5, commitment=0.25, group=bits)
    x = rows(0, 40, bits)
    x[0] = torch.tensor([1e6, -1e6, 0.0, 1e-30, -1e-30, 3.0])[:bits]
    out = quantizer(x)
    z = x.double().numpy()
    if kind == "bsq":
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    distances = ((z[:, None] - corners) ** 2).sum(-1)
    chosen = ((z[:, None] - corners[out.indices.numpy()][:, None]) ** 2).sum(-1)[:, 0]
    np.testing.assert_allclose(chosen, distances.min(1), rtol=1e-6)
    np.testing.assert_allclose(out.quantized.numpy(), corners[out.indices.numpy()], atol=1e-6)
    p = softmax_over_codes(z, corners, 0.7)
    expected = entropy(p).mean() - 0.5 * entropy(p.mean(0))
    assert float(out.losses["entropy"]) == pytest.approx(expected, abs=1e-4)
    commitment = ((z - out.quantized.numpy()) ** 2).mean()
    assert float(out.losses["commitment"]) == pytest.approx(commitment, rel=1e-5)
    assert float(out.loss) == pytest.approx(0.25 * commitment + 0.1 * expected, rel=1e-4, abs=1e-5)
    everything = quantizer.decode(torch.arange(2**bits))
    np.testing.assert_allclose(
        everything.numpy(), corners, atol=1e-6
    )  # the first bit is the most significant


def test_entropies_of_a_share_are_those_of_vectors_evenly_apart():
    lfq = LFQ(5, 5, temperature=0.7, share=0.4, commitment=0.0, entropy=1.0)
    whole = LFQ(5, 5, temperature=0.7, commitment=0.0, entropy=1.0)
    mask = torch.rand(60, generator=torch.Generator().manual_seed(1)) > 0.3
    firsts = set()
    for step in range(30):
        x = rows(step, 60, 5).requires_grad_()
        loss = lfq(x, mask).loss
        drawn = torch.autograd.grad(loss, x)[0].any(1)[mask].nonzero()[:, 0]
        assert set(drawn.diff().tolist()) == {2, 3}
        assert int(drawn[0]) <= 2
        firsts.add(int(drawn[0]))
        torch.testing.assert_close(loss, whole(x[mask][drawn]).loss)
    assert firsts == {0, 1, 2}
    torch.testing.assert_close(lfq.eval()(x, mask).loss, whole.eval()(x, mask).loss)


def test_an_offset_makes_the_entropies_a_softplus():
    x = rows(0, 40, 5)
    plain = LFQ(5, 5, temperature=0.7)(x).losses["entropy"].numpy()
    shifted = LFQ(5, 5, temperature=0.7, offset=2.0)(x).losses["entropy"].numpy()
    assert shifted == pytest.approx(np.log1p(np.exp(plain + 2)), rel=1e-5)


def test_entropy_of_groups_and_masks():
    logits = rows(0, 30, 5)
    mask = rows(1, 30) > 0
    each, together = bit_entropy(logits, Valid.of(mask).weights(torch.float32), group=2)
    p = 1 / (1 + np.exp(-logits.double().numpy()[mask.numpy()]))
    pairs = [entropy(np.stack([1 - p[:, i], p[:, i]], -1)) for i in range(5)]
    assert float(each) == pytest.approx(sum(pairs).mean(), rel=1e-5)
    total = 0.0
    for group in ([0, 1], [2, 3], [4]):
        joint = [
            np.prod([p[:, i] if bit else 1 - p[:, i] for i, bit in zip(group, code, strict=True)], axis=0)
            for code in itertools.product([0, 1], repeat=len(group))
        ]
        total += entropy(np.stack(joint, -1).mean(0))
    assert float(together) == pytest.approx(total, rel=1e-5)


def test_gradients_of_the_entropy_are_finite_and_right():
    logits = torch.tensor([[0.3, -2.0], [400.0, -1e6], [0.0, 1e-3]], dtype=torch.float64)
    for row in logits[:, None]:
        x = row.clone().requires_grad_()
        each, together = bit_entropy(x, torch.ones(1, dtype=torch.float64), group=2)
        (gradient,) = torch.autograd.grad(each - 0.5 * together, x)
        assert gradient.isfinite().all()
        p = row.sigmoid()
        torch.testing.assert_close(gradient, 0.5 * -row * p * (1 - p), atol=1e-8, rtol=1e-5)


def test_gradient_of_bsq_passes_the_sphere():
    x = rows(0, 20, 4).requires_grad_()
    weight = rows(1, 20, 4)
    (gradient,) = torch.autograd.grad((BSQ(4, 4, entropy=0.0)(x).quantized * weight).sum(), x)
    z, w = x.detach().double().numpy(), weight.double().numpy()
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    u = z / norm
    np.testing.assert_allclose(gradient.numpy(), (w - u * (u * w).sum(1, keepdims=True)) / norm, atol=1e-5)


def test_63_bits():
    lfq = LFQ(63, 63)
    x = rows(0, 50, 63)
    out = lfq(x)
    expected = [int("".join("1" if v > 0 else "0" for v in row), 2) for row in x.tolist()]
    assert out.indices.tolist() == expected
    assert torch.equal(lfq.decode(out.indices), out.quantized)
    assert torch.equal(to_bits(out.indices, 63) > 0, x > 0)
    assert lfq.usage().used.shape == (63,)
    assert sum(value.numel() for value in lfq.state_dict().values()) < 300


def test_binarize():
    x = torch.tensor([[0.5, 0.50001, -3.0, 1e6]], requires_grad=True)
    out = Binarize(4, threshold=0.5)(x)
    assert out.quantized.tolist() == [[0, 1, 0, 1]]
    assert out.indices.tolist() == [[0, 1, 0, 1]]
    weight = rows(0, 1, 4)
    (gradient,) = torch.autograd.grad((out.quantized * weight).sum(), x)
    assert torch.equal(gradient, weight)


def test_bitcodes_in_eval_are_argmaxes():
    torch.manual_seed(0)
    bitcodes = Bitcodes(6, 5, temperature=10.0).eval()
    x = rows(0, 2, 7, 6)
    out = bitcodes(x)
    codes = bitcodes.codebook.codes.detach().double().numpy().reshape(5, 2, 6)
    products = np.einsum("nmd,bvd->nmbv", x.double().numpy(), codes)
    bits = products.argmax(-1)
    assert np.array_equal(out.indices.numpy(), bits)
    expected = sum(codes[b][bits[..., b]] for b in range(5))
    np.testing.assert_allclose(out.quantized.detach().numpy(), expected, atol=1e-5)
    assert torch.equal(bitcodes.from_bits(out.indices.float()), out.quantized)
    assert torch.equal(bitcodes.from_bits(out.indices.bool()), out.quantized)
    assert (bitcodes(torch.zeros(3, 6)).indices == 0).all()  # ties go to 0
    two = to_indices(regroup_bits(out.indices[:, :6], 2))
    assert int(two[0, 0]) == int("".join(map(str, [*bits[0, 0], *bits[0, 1]])), 2)


def test_bitcodes_are_drawn_in_training_and_return_what_was_drawn():
    torch.manual_seed(0)
    bitcodes = Bitcodes(4, 3)
    x = rows(0, 1, 4).expand(20000, 4).contiguous()
    out = bitcodes(x)
    torch.testing.assert_close(bitcodes.from_bits(out.indices), out.quantized)
    with torch.no_grad():
        codes = bitcodes.codebook.codes.view(3, 2, 4)
        chance = torch.softmax(codes @ x[0], -1)[:, 1]  # of hard Gumbel-softmax
    torch.testing.assert_close(out.indices.double().mean(0).float(), chance, atol=0.015, rtol=0)
    usage = bitcodes.usage()
    assert usage.used.tolist() == [2, 2, 2]
    assert (bitcodes(x).indices != out.indices).any()


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_bitcodes_are_those_of_hard_gumbel_softmax(training):
    torch.manual_seed(0)
    bitcodes = Bitcodes(4, 3, temperature=2.0)
    bitcodes(rows(9, 10, 4))
    bitcodes.train(training)
    key = bitcodes.rng.next_key() if training else bitcodes.rng.last_key()
    x = rows(0, 30, 4).requires_grad_()
    weight = rows(1, 30, 4)
    out = bitcodes(x)
    got = torch.autograd.grad((out.quantized * weight).sum(), [x, bitcodes.codebook.codes])
    codes = bitcodes.codebook.codes
    logits = (x @ codes.T).view(30, 3, 2)
    if training:  # the logistic variable is all on one side: the softmax of two sees only the difference
        uniform = key.uniform_at(codeword.functional.Purpose.GUMBEL, torch.arange(30), 3)
        logits = logits + torch.stack([torch.zeros_like(uniform), uniform.logit()], -1)
    soft = (logits / 2.0).softmax(-1)
    hard = torch.nn.functional.one_hot(logits.argmax(-1), 2).float()
    assert torch.equal(hard.argmax(-1), out.indices)
    output = ((hard + soft - soft.detach()).flatten(1)) @ codes
    expected = torch.autograd.grad((output * weight).sum(), [x, codes])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_bitcodes_learn_a_target():
    torch.manual_seed(0)
    bitcodes = Bitcodes(8, 12, temperature=1.0)
    x = rows(0, 256, 8)
    optimiser = torch.optim.Adam(bitcodes.parameters(), 0.02)
    errors = []
    for _ in range(150):
        error = (bitcodes(x).quantized - x).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert (bitcodes.eval()(x).quantized - x).square().mean() < 0.5 * errors[0]


def test_random_projection():
    torch.manual_seed(0)
    quantizer = RandomProjection(8, 32, code_features=4)
    x = rows(0, 50, 8) * 100 + 3
    out = quantizer(x)
    z = x.double().numpy()
    z = (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)
    z = z @ quantizer.directions.codes.double().numpy().T
    codes = quantizer.codebook.codes.double().numpy()
    cosines = (z @ (codes / np.linalg.norm(codes, axis=1, keepdims=True)).T) / np.linalg.norm(z, axis=1)[
        :, None
    ]
    np.testing.assert_allclose(cosines[np.arange(50), out.indices.numpy()], cosines.max(1), rtol=0, atol=1e-5)
    assert torch.equal(out.quantized, x)
    assert out.loss == 0
    assert list(quantizer.parameters()) == []
    before = quantizer.encode(x)
    for step in range(5):
        quantizer(rows(step, 50, 8))
    assert torch.equal(quantizer.encode(x), before)
    with pytest.raises(CodewordError, match="cannot be decoded: a random-projection quantizer keeps no more"):
        quantizer.decode(before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LFQ(4, 0), "1 to 63 bits, but got 0"),
        (lambda: LFQ(4, 64), "1 to 63 bits, but got 64"),
        (lambda: LFQ(4, 4, entropy=-1.0), "entropy of at least 0, but got -1.0"),
        (lambda: BSQ(4, 4, temperature=0.0), "temperature above 0, but got 0.0"),
        (lambda: LFQ(4, 4, share=0.0), "share above 0, up to 1, but got 0.0"),
        (lambda: BSQ(4, 4, group=17), "group from 1 to 16, but got 17"),
        (lambda: Bitcodes(4, 0), "bits of at least 1, but got 0"),
        (lambda: Bitcodes(4, 4, temperature=-1.0), "temperature above 0, but got -1.0"),
        (
            lambda: Bitcodes(4, 4).from_bits(torch.full((2, 4), 0.7)),
            "bits that are 0 or 1, but got fractions",
        ),
        (lambda: Bitcodes(4, 4).decode(torch.zeros(2, 3).long()), r"bits \(..., 4\), but got shape \(2, 3\)"),
        (lambda: Bitcodes(4, 2).decode(torch.tensor([[0, -1]])), "-1 for some"),
        (lambda: Bitcodes(4, 2).from_bits(torch.tensor([[0.0, 2.0]])), "but got 2"),
        (lambda: RandomProjection(4, 0), "codebook_size of at least 1, but got 0"),
        (lambda: RandomProjection(4, 4, code_features=0), "code_features of at least 1, but got 0"),
        (lambda: codeword.from_spec("rvq2x(rpq8)", features=4), "stages whose indices decode, but got rpq8"),
        (lambda: codeword.from_spec("fsq8x5", features=4), "fsq<levels>, but got 'fsq8x5'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()

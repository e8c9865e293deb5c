"""The facade of torchtools: its arguments and results one by one, against the formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import codeword.compat.torchtools.nn as later
import codeword.compat.torchtools.vq as documented
from codeword import CodewordError
from codeword.compat.torchtools.functional.vq import binarize, vector_quantize

BOTH = pytest.mark.parametrize("home", [documented, later])


def numpy_of(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().double().numpy() for tensor in tensors)


def chosen(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((rows[:, None] - codes) ** 2).sum(-1).argmin(1)


def well_placed(vq: documented.VectorQuantize) -> documented.VectorQuantize:
    """The same layer, with codes of the size of the data and averages that are those of its codes."""
    vq.codebook.weight = torch.randn(vq.codebook.weight.shape)
    if vq.ema_loss:
        vq.ema_weight_sum = vq.codebook.weight
    return vq


class TestVectorQuantize:
    @BOTH
    def test_embedding_size_and_k(self, home):
        vq = home.VectorQuantize(8, 32)
        assert vq.codebook.weight.shape == (32, 8) == (vq.codebook.num_embeddings, vq.codebook.embedding_dim)
        assert home.VectorQuantize(embedding_size=8, k=32)(torch.randn(3, 8))[0].shape == (3, 8)

    @BOTH
    def test_defaults(self, home):
        vq = home.VectorQuantize(8, 32)
        assert (vq.ema_decay, vq.ema_loss) == (0.99, False)
        assert isinstance(vq.codebook.weight, torch.nn.Parameter)

    @BOTH
    @pytest.mark.parametrize("ema_loss", [False, True])
    def test_the_start_is_that_of_the_seed(self, home, ema_loss):
        """A normal draw that is thrown away, and a uniform one; what is made next is not disturbed."""
        torch.manual_seed(5)
        torch.randn(32, 8)
        expected, following = torch.rand(32, 8) * 2 / 32 - 1 / 32, torch.rand(3)
        torch.manual_seed(5)
        vq = home.VectorQuantize(8, 32, ema_loss=ema_loss)
        torch.testing.assert_close(vq.codebook.weight.detach(), expected)
        assert torch.equal(torch.rand(3), following)

    @BOTH
    @pytest.mark.parametrize("shape", [(9, 8), (2, 7, 8), (2, 3, 4, 8)])
    @pytest.mark.parametrize("training", [False, True])
    def test_output_losses_and_gradients_follow_the_formula(self, home, shape, training):
        torch.manual_seed(0)
        vq = well_placed(home.VectorQuantize(8, 16)).train(training)
        x, cotangent = torch.randn(shape, requires_grad=True), torch.randn(shape)
        quantized, (vq_loss, commit_loss), *rest = vq(x)
        ((cotangent * quantized).sum() + vq_loss + 0.25 * commit_loss).backward()

        rows, codes, cotangents = numpy_of(x.view(-1, 8), vq.codebook.weight, cotangent.view(-1, 8))
        indices = chosen(rows, codes)
        error = rows - codes[indices]
        slope = np.zeros_like(codes)
        np.add.at(slope, indices, -2 * error / error.size)
        np.testing.assert_array_equal(quantized.detach().view(-1, 8), vq.codebook.weight.detach()[indices])
        np.testing.assert_allclose([vq_loss.item(), commit_loss.item()], (error**2).mean(), rtol=1e-5)
        np.testing.assert_allclose(
            x.grad.view(-1, 8), cotangents + 0.5 * error / error.size, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(vq.codebook.weight.grad, slope, rtol=1e-4, atol=1e-6)
        assert [i.flatten().tolist() for i in rest] == ([] if home is documented else [indices.tolist()])

    @BOTH
    @pytest.mark.parametrize("ema_decay", [0.99, 0.5, 0.01])
    def test_ema_loss_and_ema_decay(self, home, ema_decay):
        """Smoothed counts are kept; the output is of the codes before the update, the losses of those after it."""
        torch.manual_seed(0)
        vq = well_placed(home.VectorQuantize(8, 16, ema_decay=ema_decay, ema_loss=True))
        codes, counts = *numpy_of(vq.codebook.weight), np.ones(16)
        sums = codes.copy()
        for _ in range(4):
            x = torch.randn(2, 5, 8, requires_grad=True)
            quantized, (vq_loss, commit_loss), *_ = vq(x)
            commit_loss.backward()
            (rows,) = numpy_of(x.view(-1, 8))
            indices = chosen(rows, codes)
            np.testing.assert_allclose(quantized.detach().view(-1, 8), codes[indices], rtol=1e-4, atol=1e-6)
            hit = np.eye(16)[indices]
            counts = ema_decay * counts + (1 - ema_decay) * hit.sum(0)
            counts = (counts + 1e-5) / (counts.sum() + 16e-5) * counts.sum()
            sums = ema_decay * sums + (1 - ema_decay) * hit.T @ rows
            codes = sums / counts[:, None]
            error = rows - codes[indices]
            np.testing.assert_allclose([vq_loss.item(), commit_loss.item()], (error**2).mean(), rtol=1e-4)
            np.testing.assert_allclose(x.grad.view(-1, 8), 2 * error / error.size, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(vq.codebook.weight, codes, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(vq.ema_element_count, counts, rtol=1e-4)
            np.testing.assert_allclose(vq.ema_weight_sum, sums, rtol=1e-4, atol=1e-6)

    @BOTH
    def test_eval_freezes_the_codebook(self, home):
        vq = home.VectorQuantize(8, 32, ema_loss=True).eval()
        before = {name: value.clone() for name, value in vq.state_dict().items()}
        vq(torch.randn(4, 8))
        assert all(torch.equal(value, before[name]) for name, value in vq.state_dict().items())

    @BOTH
    @pytest.mark.parametrize("ema_loss", [False, True])
    def test_get_losses(self, home, ema_loss):
        torch.manual_seed(0)
        vq, x = home.VectorQuantize(8, 32, ema_loss=ema_loss), torch.randn(5, 8)
        before = vq.codebook.weight.clone()
        assert vq(x, get_losses=False)[1] == (None, None)
        assert vq.forward(x, False)[1] == (None, None)
        assert torch.equal(before, vq.codebook.weight) is not ema_loss  # it learns all the same

    @pytest.mark.parametrize("dim", [1, -1, 0, 3])
    def test_dim_and_idx2vq(self, dim):
        torch.manual_seed(0)
        vq = well_placed(later.VectorQuantize(8, 16))
        rows = torch.randn(3, 4, 5, 8)
        x = rows.movedim(-1, dim)
        quantized, (vq_loss, _), indices = vq(x, dim=dim)
        expected, (loss, _), flat = vq(rows)
        assert torch.equal(quantized, expected.movedim(-1, dim))
        assert torch.equal(indices, flat)
        assert vq_loss == loss
        assert torch.equal(vq.idx2vq(indices, dim=dim), quantized)
        assert torch.equal(vq.encode(x, dim=dim), indices)

    @BOTH
    @pytest.mark.parametrize("ema_loss", [False, True])
    def test_data_init(self, home, ema_loss):
        torch.manual_seed(0)
        x = torch.randn(500, 2) + 100
        vq = home.VectorQuantize(2, 64, ema_loss=ema_loss, data_init=True)
        _, (_, commit_loss), *_ = vq(x)
        assert commit_loss < 0.05
        assert len(vq.encode(x).unique()) > 48
        assert home.VectorQuantize(2, 64, ema_loss=ema_loss)(x)[1][1] > 100

    @BOTH
    @pytest.mark.parametrize(
        ("options", "name"), [((0, 4), "embedding_size"), ((4, 0), "k"), ((4, 2.5), "k")]
    )
    def test_sizes_that_cannot_be_are_named_as_there(self, home, options, name):
        with pytest.raises(CodewordError, match=f"expected {name} of at least 1"):
            home.VectorQuantize(*options)

    def test_a_decay_that_cannot_be_is_refused(self):
        with pytest.raises(CodewordError, match="decay"):
            documented.VectorQuantize(8, 4, ema_decay=1.0, ema_loss=True)

    @BOTH
    def test_another_width_is_named_as_there(self, home):
        with pytest.raises(CodewordError, match=r"embedding_size=8 on axis -1.*\(2, 7\)"):
            home.VectorQuantize(8, 16)(torch.randn(2, 7))


class TestBinarize:
    @BOTH
    @pytest.mark.parametrize("threshold", [0.5, 0, -1.0])
    def test_threshold(self, home, threshold):
        x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0])
        expected = (x.numpy() > threshold).astype(np.float32)
        assert home.Binarize(threshold)(x).tolist() == expected.tolist()
        assert home.Binarize(threshold=threshold)(x[:, None]).flatten().tolist() == expected.tolist()

    @BOTH
    def test_default(self, home):
        assert home.Binarize().threshold == 0.5
        assert binarize.apply(torch.tensor([0.5, 0.6])).tolist() == [0, 1]


class TestFSQ:
    @pytest.mark.parametrize(
        ("bins", "eps"), [([3, 4], 0.1), ([8, 5, 5, 5], 0.1), ([5, 2], 0.02), ([12], 0.1)]
    )
    def test_bins_and_eps(self, bins, eps):
        torch.manual_seed(0)
        fsq, levels = later.FSQ(bins, eps=eps), np.array(bins)
        x = torch.randn(2, 30, len(bins)) * 2
        share = 1 / (1 + np.exp(-x.double().numpy()))
        level = np.round(share * levels - 0.5)
        kept = np.clip(level / (levels - 1), eps, 1 - eps)
        quantized, indices = fsq(x)
        assert fsq.bases.tolist() == [int(np.prod(bins[:i])) for i in range(len(bins))]
        assert fsq.bins.tolist() == bins
        assert fsq.codebook_size == np.prod(bins)
        np.testing.assert_array_equal(indices, level @ fsq.bases.numpy())
        np.testing.assert_allclose(quantized, np.log(kept / (1 - kept)), rtol=1e-5, atol=1e-6)
        assert torch.equal(fsq.idx_to_vq(indices), quantized)

    @pytest.mark.parametrize("dim", [1, -1])
    def test_dim(self, dim):
        torch.manual_seed(0)
        x = torch.randn(3, 4, 5, 2)
        expected, flat = later.FSQ([3, 4])(x)
        fsq = later.FSQ([3, 4], dim=dim)
        for quantize in (True, False):
            expected, flat = later.FSQ([3, 4])(x, quantize=quantize)
            quantized, indices = fsq(x.movedim(-1, dim), quantize=quantize)
            assert torch.equal(quantized, expected.movedim(-1, dim))
            assert torch.equal(indices, flat)
        assert torch.equal(fsq.vq_to_idx(fsq.idx_to_vq(flat)), flat)

    def test_quantize(self):
        """Unquantized numbers are bounded, and their indices are those of the levels below."""
        torch.manual_seed(0)
        x = torch.randn(50, 2, requires_grad=True)
        bounded, indices = later.FSQ([3, 4])(x, quantize=False)
        bounded.sum().backward()
        share = 1 / (1 + np.exp(-x.detach().double().numpy()))
        kept = np.clip(share, 0.1, 0.9)
        np.testing.assert_allclose(bounded.detach(), np.log(kept / (1 - kept)), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(indices, np.floor(share * [2, 3]) @ [1, 3])
        np.testing.assert_allclose(x.grad, kept == share, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("bins", [[3, 4], [8, 5, 5], [10, 2]])
    def test_vq_to_idx_is_the_inverse_of_idx_to_vq(self, bins):
        fsq = later.FSQ(bins)
        every = torch.arange(fsq.codebook_size)
        assert torch.equal(fsq.vq_to_idx(fsq.idx_to_vq(every)), every)


class TestFunctional:
    def test_the_gradient_goes_to_the_rows_and_is_summed_to_the_codes(self):
        torch.manual_seed(0)
        x, codes = torch.randn(10, 8, requires_grad=True), torch.randn(16, 8, requires_grad=True)
        cotangent = torch.randn(10, 8)
        found, indices = vector_quantize.apply(x, codes)
        (found * cotangent).sum().backward()
        expected = np.zeros((16, 8))
        np.add.at(expected, indices.numpy(), cotangent.double().numpy())
        assert indices.tolist() == chosen(*numpy_of(x, codes)).tolist()
        assert torch.equal(found, codes[indices])
        assert torch.equal(x.grad, cotangent)
        np.testing.assert_allclose(codes.grad, expected, rtol=1e-5, atol=1e-6)

    def test_equal_distances_go_to_the_first_code(self):
        assert vector_quantize.apply(torch.zeros(1, 2), torch.ones(3, 2))[1].tolist() == [0]

    def test_the_later_place_has_the_same_functions(self):
        from codeword.compat.torchtools import functional
        from codeword.compat.torchtools.nn.functional import vq

        assert vq.vector_quantize is vector_quantize is functional.vector_quantize
        assert vq.binarize is binarize is functional.binarize

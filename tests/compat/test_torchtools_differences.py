"""What the facade of torchtools does otherwise than the original, and its states; see docs/moving/torchtools.md."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import codeword
import codeword.compat.torchtools.nn as later
import codeword.compat.torchtools.vq as documented
from codeword import CodewordError
from codeword.checkpoints import convert, convert_back
from codeword.compat import export_state_dict
from compat.exact import distances
from ranks import RANKS

BOTH = pytest.mark.parametrize("home", [documented, later])


@BOTH
def test_binarize_has_the_documented_gradient(home):
    x, cotangent = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5)
    (home.Binarize(0)(x) * cotangent).sum().backward()
    assert torch.equal(x.grad, cotangent)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_binarize_keeps_the_dtype(home, dtype):
    assert home.Binarize()(torch.randn(3).to(dtype)).dtype == dtype


@BOTH
def test_moving_averages_start_where_the_codes_are(home):
    """There one forward makes every code zero that no row has chosen."""
    torch.manual_seed(0)
    vq = home.VectorQuantize(8, k=64, ema_loss=True)
    before = vq.codebook.weight.clone()
    torch.testing.assert_close(vq.ema_weight_sum, before)
    x = torch.randn(16, 8)
    unused = torch.ones(64, dtype=torch.bool).index_fill(0, vq.encode(x), False)
    vq(x)
    torch.testing.assert_close(vq.codebook.weight[unused], before[unused], rtol=1e-4, atol=0)


def test_an_untrained_checkpoint_starts_where_its_codes_are():
    codes = torch.randn(16, 8)
    state = {
        "codebook.weight": codes,
        "ema_element_count": torch.ones(16),
        "ema_weight_sum": torch.zeros(16, 8),
    }
    vq = documented.VectorQuantize(8, 16, ema_loss=True)
    vq.load_state_dict(state)
    assert torch.equal(vq.codebook.weight, codes)
    assert torch.equal(vq.ema_weight_sum, codes)


def test_an_unused_code_does_not_fade():
    """There a code of length 10 has less than 1 left after a thousand steps."""
    vq = documented.VectorQuantize(1, 2, ema_loss=True)
    vq.codebook.weight = torch.tensor([[0.0], [10.0]])
    vq.ema_weight_sum = vq.codebook.weight
    lengths = []
    for _ in range(400):
        vq(torch.zeros(4, 1))
        lengths.append(float(vq.codebook.weight[1]))
    assert lengths[-1] == lengths[100] > 9.97


@BOTH
def test_moving_averages_are_no_parameters(home):
    vq = home.VectorQuantize(8, 16, ema_loss=True)
    assert list(vq.parameters()) == []
    _, (vq_loss, commit_loss), *_ = vq(torch.randn(4, 8, requires_grad=True))
    assert not vq_loss.requires_grad
    assert commit_loss.requires_grad


@BOTH
@pytest.mark.parametrize("ema_loss", [False, True])
def test_codes_are_updated_in_place(home, ema_loss):
    vq = home.VectorQuantize(8, 16, ema_loss=ema_loss)
    weight = vq.codebook.weight
    vq(torch.randn(4, 8))
    assert vq.codebook.weight is weight


def test_the_documented_layer_gives_indices_by_encode():
    vq, x = documented.VectorQuantize(8, 16), torch.randn(2, 3, 8)
    assert len(vq(x)) == 2
    assert torch.equal(vq.idx2vq(vq.encode(x)), vq(x)[0])


@BOTH
@pytest.mark.parametrize("ema_loss", [False, True])
@pytest.mark.parametrize("shape", [(8,), (0, 8), (2, 0, 8)])
def test_one_vector_and_none_will_do(home, ema_loss, shape):
    vq = home.VectorQuantize(8, 16, ema_loss=ema_loss)
    quantized, (vq_loss, commit_loss), *_ = vq(torch.randn(shape))
    assert quantized.shape == shape
    assert vq_loss.isfinite()
    assert commit_loss.isfinite()


@BOTH
def test_views_that_are_not_contiguous_will_do(home):
    vq, x = home.VectorQuantize(8, 16).eval(), torch.randn(3, 8, 4, 5)
    strided = x.permute(0, 2, 3, 1)
    assert torch.equal(vq(strided)[0], vq(strided.contiguous())[0])


@BOTH
@pytest.mark.parametrize("ema_loss", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_will_do(home, ema_loss, dtype):
    torch.manual_seed(0)
    vq, x = home.VectorQuantize(8, 16, ema_loss=ema_loss).to(dtype), torch.randn(6, 8).to(dtype)
    quantized, (_, commit_loss), *_ = vq(x)
    assert quantized.dtype == dtype
    assert commit_loss.isfinite()
    assert vq.codebook.weight.dtype == torch.float32


@BOTH
@pytest.mark.parametrize("ema_loss", [False, True])
def test_a_row_that_is_not_finite_harms_nobody(home, ema_loss):
    torch.manual_seed(0)
    vq, x = home.VectorQuantize(8, 16, ema_loss=ema_loss), torch.randn(6, 8)
    x[2, 3] = torch.nan
    quantized, (vq_loss, commit_loss), *_ = vq(x)
    assert quantized.isnan().any(1).tolist() == [i == 2 for i in range(6)]
    assert vq_loss.isfinite()
    assert commit_loss.isfinite()
    assert vq.codebook.weight.isfinite().all()


@BOTH
def test_the_search_is_exact_far_from_the_origin(home):
    torch.manual_seed(0)
    vq = home.VectorQuantize(8, 64).eval()
    vq.codebook.weight = torch.randn(64, 8) + 1000
    x = torch.randn(500, 8) + 1000
    assert torch.equal(vq.encode(x), distances(x, vq.codebook.weight).argmin(1))


def test_an_index_that_is_no_code_is_named():
    with pytest.raises(CodewordError, match="16"):
        later.VectorQuantize(8, 16).idx2vq(torch.tensor([16]))


def learn(rank: int | None) -> torch.Tensor:
    torch.manual_seed(0)
    vq = documented.VectorQuantize(4, 16, ema_decay=0.9, ema_loss=True)
    for step in range(4):
        x = torch.randn(40, 4, generator=torch.Generator().manual_seed(step)) / 16
        vq(x if rank is None else x.chunk(RANKS)[rank])
    return vq.codebook.weight


def test_processes_learn_one_codebook(ranks):
    codes = ranks.run(learn)
    assert all(torch.equal(codes[0], other) for other in codes)
    torch.testing.assert_close(codes[0], learn(None), rtol=1e-5, atol=1e-6)


# State dictionaries ---------------------------------------------------------------------------------------------


def trained(ema_loss: bool) -> dict[str, torch.Tensor]:
    """What the original saves."""
    torch.manual_seed(3)
    codes, counts = torch.randn(16, 8), torch.rand(16) + 0.5
    state = {"codebook.weight": codes}
    if ema_loss:
        state |= {"ema_element_count": counts, "ema_weight_sum": counts[:, None] * codes}
    return state


@BOTH
@pytest.mark.parametrize("ema_loss", [False, True])
def test_a_state_goes_in_and_comes_out(home, ema_loss):
    state = trained(ema_loss)
    model = nn.Sequential(nn.Linear(4, 8), home.VectorQuantize(8, 16, ema_loss=ema_loss))
    linear = {f"0.{key}": value for key, value in nn.Linear(4, 8).state_dict().items()}
    whole = linear | {f"1.{key}": value for key, value in state.items()}
    model.load_state_dict(whole)
    given = export_state_dict(model)
    assert list(given) == list(whole)
    assert all(torch.equal(given[key], whole[key]) for key in whole)
    with torch.no_grad():
        model[1].codebook.weight.fill_(7.0)
    assert (given["1.codebook.weight"] == 7).all()  # live
    model.load_state_dict(model.state_dict())  # its own go in too


@pytest.mark.parametrize("ema_loss", [False, True])
def test_a_state_becomes_a_quantizer_and_comes_back(ema_loss):
    state = trained(ema_loss)
    quantizer = convert(state, library="torchtools", ema_decay=0.9)
    assert isinstance(quantizer, codeword.VectorQuantizer)
    layer = documented.VectorQuantize(8, 16, ema_decay=0.9, ema_loss=ema_loss)
    layer.load_state_dict(state)
    assert quantizer.codebook.update == layer.quantizer.codebook.update
    x = torch.randn(5, 8)
    assert torch.equal(quantizer(x).quantized, layer.eval()(x)[0])
    back = convert_back(quantizer, library="torchtools")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_the_state_of_fsq_goes_in_and_comes_out():
    state = {"bins": torch.tensor([8, 5, 5]), "bases": torch.tensor([1, 8, 40])}
    fsq = later.FSQ([8, 5, 5])
    fsq.load_state_dict(state)
    given = export_state_dict(fsq)
    assert {key: value.tolist() for key, value in given.items()} == {k: v.tolist() for k, v in state.items()}
    x = torch.randn(5, 3)
    converted = convert(state, library="torchtools", eps=0.1)
    assert torch.equal(converted(x).quantized, fsq(x)[0])
    assert convert_back(converted, library="torchtools").keys() == state.keys()


@pytest.mark.parametrize(
    ("layer", "state", "message"),
    [
        (documented.VectorQuantize(8, 16), trained(True), "'ema_element_count' of shape"),
        (documented.VectorQuantize(8, 16, ema_loss=True), trained(False), "the key 'ema_element_count'"),
        (documented.VectorQuantize(8, 32), trained(False), r"\(32, 8\).*'codebook.weight' \(16, 8\)"),
        (
            later.FSQ([8, 5]),
            {"bins": torch.tensor([5, 8]), "bases": torch.tensor([1, 5])},
            r"'bins' \[8, 5\]",
        ),
    ],
    ids=["without-ema", "with-ema", "another-size", "other-bins"],
)
def test_a_state_of_another_configuration_says_which_key_differs(layer, state, message):
    with pytest.raises(RuntimeError, match=message):
        layer.load_state_dict(state)

"""Every difference from the original that `docs/moving/quantizer_pytorch.md` lists, shown."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.compat import export_state_dict
from codeword.compat.quantizer_pytorch import (
    MQ1d,
    QBit1d,
    Quantizer1d,
    QuantizerBlock1d,
    QuantizerChannelwise1d,
)
from codeword.functional import to_bits, to_indices
from compat.exact import distances
from public import names_of

PAGE = Path(__file__).parents[2] / "docs" / "moving" / "quantizer_pytorch.md"


def quantizer(*sizes: int, **options) -> Quantizer1d:
    torch.manual_seed(0)
    return Quantizer1d(*sizes, **options)


@pytest.mark.parametrize("rule", ["ema", "budget"])
def test_the_first_step_keeps_codes_at_their_length(rule):
    module = quantizer(8, 2, 16, rule=rule)
    before = module.quantize.quantizers[0].codebooks
    module(torch.randn(2, 8, 10))
    after = module.quantize.quantizers[0].codebooks
    assert (after.norm(dim=-1) < 1.5 * before.norm(dim=-1)).all()


def test_a_count_of_zero_is_one_in_training():
    state = export_state_dict(quantizer(8, 2, 16, rule="ema"))
    begun, zero = quantizer(8, 2, 16), quantizer(8, 2, 16)
    begun.load_state_dict(state)
    zero.load_state_dict(state | {"quantize.quantizers.0.ema_cluster_size": torch.zeros(2, 16)})
    assert (zero.quantize.quantizers[0].ema_cluster_size == 0).all()  # as it came
    x = torch.randn(4, 8, 10)
    assert torch.equal(zero(x)[0], begun(x)[0])
    for key, value in export_state_dict(begun).items():
        assert torch.equal(export_state_dict(zero)[key], value)


def test_shared_stages_have_one_memory():
    module = quantizer(8, 1, 16, 2, rule="ema")
    for _ in range(3):
        module(torch.randn(4, 8, 10))
    first, second = module.quantize.quantizers
    assert torch.equal(first.ema_cluster_size, second.ema_cluster_size)
    made = second.ema_embedding_sum / second.ema_cluster_size[..., None]
    torch.testing.assert_close(first.codebooks, made)


def test_replaced_codes_stay_where_they_were_put():
    """The rule "ema" forgets what it knew of a replaced code: the next update would else put it back."""
    module = quantizer(4, 1, 16, expire_threshold=0.6, ema_decay=0.5, rule="ema")
    x = torch.randn(2, 4, 10)
    before = module.quantize.quantizers[0].codebooks[0]
    _, info = module(x)
    layer = module.quantize.quantizers[0]
    after, rows = layer.codebooks[0], x.transpose(1, 2).reshape(-1, 4)
    put = (distances(after, rows) == 0).any(1)
    assert put.sum() == info["replaced_codes"] > 0
    made = layer.ema_embedding_sum / layer.ema_cluster_size[..., None]
    torch.testing.assert_close(made[0, put], after[put])
    still = quantizer(4, 1, 16, ema_decay=0.5)  # which replaces nothing more
    still.load_state_dict(module.state_dict())
    still(x)
    later = still.quantize.quantizers[0].codebooks[0]
    moved, back = (later - after).norm(dim=1)[put], (later - before).norm(dim=1)[put]
    assert (moved < back).all()


def test_nothing_is_replaced_in_eval():
    module = quantizer(4, 2, 16, rule="budget", expire_threshold=0.9, ema_decay=0.5)
    for _ in range(3):
        module(torch.randn(2, 4, 10))
    assert (module.eval()(torch.randn(2, 4, 10))[1]["budget"] < 0.9).any()  # which the original reports
    assert module(torch.randn(2, 4, 10))[1]["replaced_codes"].tolist() == [0, 0]


def test_the_documented_four_keys():
    x = torch.randn(1, 8, 5)
    for rule in (None, "ema"):
        module = quantizer(8, 2, 16, rule=rule)
        assert list(module(x)[1]) == ["indices", "loss", "perplexity", "replaced_codes"]
    newest = quantizer(8, 2, 16, rule="budget")
    assert list(newest(x)[1])[4:] == ["budget"]
    loaded = quantizer(8, 2, 16)
    loaded.load_state_dict(newest.state_dict())
    assert len(loaded(x)[1]) == 4
    loaded.load_state_dict(export_state_dict(newest))
    assert list(loaded(x)[1])[4:] == ["budget"]


def test_channelwise_stages_have_an_axis():
    torch.manual_seed(0)
    module = QuantizerChannelwise1d(6, 4, 2, 16, 2).eval()
    x = torch.randn(2, 6, 12)
    y, info = module(x)
    assert info["indices"].shape == (2, 6, 3, 2)
    assert torch.equal(module.from_ids(info["indices"]), y)
    module.original_indices = True
    _, old = module(x)
    assert old["indices"].shape == (2, 12, 3)
    flat = info["indices"].unflatten(1, (2, 3)).flatten(2)  # batch, group, (channel piece stage)
    assert torch.equal(old["indices"], flat.unflatten(2, (6, 3)).flatten(1, 2))
    assert torch.equal(module.from_ids(old["indices"]), y)


def test_fewer_stages_at_a_call_have_the_shape_they_should():
    module = quantizer(8, 2, 16, 3).eval()
    y, info = module(torch.randn(2, 8, 9), num_residuals=2)
    assert info["indices"].shape == (2, 2, 9, 2)
    assert torch.equal(module.from_ids(info["indices"]), y)


def test_eval_passes_the_gradient_and_trains_no_codes():
    module = quantizer(8, 2, 16, 2).eval()
    x = torch.randn(2, 8, 9, requires_grad=True)
    module(x)[0].sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))
    assert not any(value.requires_grad for value in module.state_dict(keep_vars=True).values())


def test_shared_codes_stay_shared_when_the_module_is_cast():
    module = quantizer(8, 1, 16, 2, rule="budget").double()
    module(torch.randn(2, 8, 9).double())
    first, second = module.quantize.quantizers
    assert torch.equal(first.budget_ema, second.budget_ema)
    assert sum("codes" in key for key in module.state_dict()) == 1


def test_orders_of_info_are_those_of_the_original():
    """Perplexity and replaced_codes by group and then stage, budgets by stage and then group."""
    module = quantizer(8, 2, 16, 3, shared_codebook=False, rule="budget")
    _, info = module(torch.randn(4, 8, 9))
    for group in range(2):
        for stage in range(3):
            used = codeword.functional.usage(info["indices"][:, group, :, stage], 16).perplexity
            assert info["perplexity"][3 * group + stage] == used
            assert torch.equal(
                info["budget"][2 * stage + group], module.quantize.quantizers[stage].budget_ema[group]
            )


def test_qbit_from_ids_has_the_axes_of_the_input():
    torch.manual_seed(0)
    module = QBit1d(channels=8, num_bits=3, num_layers=2, temperature=1.0).eval()
    x = torch.randn(2, 8, 12)
    y, info = module(x)
    assert torch.equal(module.from_ids(info["indices"]), y)
    assert y.shape == x.shape
    assert torch.equal(to_bits(info["indices"], 3).flatten(2), info["bits"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantizer(8, 2, 16)(torch.randn(2, 6, 10)), "expected 8 channels, but got 6 of shape"),
        (lambda: quantizer(8, 2, 16)(torch.randn(8, 10)), "batch_size, channels, length"),
        (lambda: quantizer(8, 3, 16), "channels that num_groups=3 divides, but got 8"),
        (lambda: quantizer(8, 2, 0), "codebook_size of at least 1, but got 0"),
        (lambda: quantizer(8, 2, 16, 0), "num_residuals of at least 1, but got 0"),
        (lambda: quantizer(8, 2, 16, 2)(torch.randn(1, 8, 3), num_residuals=3), "num_residuals from 1 to 2"),
        (lambda: quantizer(8, 2, 16, code_sharing=True), "options of Quantizer1d, but got code_sharing"),
        (lambda: quantizer(8, 2, 16, rule="vq"), "rule 'ema' or 'budget', but got 'vq'"),
        (lambda: quantizer(8, 2, 16, rule="budget", expire_threshold=1.0), "expire_threshold below 1"),
        (lambda: quantizer(8, 2, 16, ema_decay=1.0), "ema_decay between 0 and 1, but got 1.0"),
        (
            lambda: QuantizerChannelwise1d(6, 4, 2, 16)(torch.randn(1, 6, 10)),
            "split_size=4 divides, but got 10",
        ),
        (lambda: QuantizerChannelwise1d(6, 4, 2, 16).from_ids(torch.zeros(1, 7, 3).long()), "indices of 6"),
        (lambda: QuantizerBlock1d(6, 4, 2, 16).from_ids(torch.zeros(1, 7, 1).long()), "2 pieces"),
        (lambda: QBit1d(8, 3, 1, 1.0)(torch.randn(1, 8, 10)), "num_bits=3 divides, but got 10"),
        (lambda: QBit1d(8, 64, 1, 1.0), "num_bits from 1 to 63"),
        (lambda: MQ1d(8, 16, 1, 0.0), "temperature above 0"),
    ],
)
def test_bad_input_is_named_in_the_words_of_the_original(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


@pytest.mark.parametrize("rule", ["ema", "budget"])
def test_with_fewer_rows_than_expired_codes_rows_are_repeated(rule):
    module = quantizer(4, 1, 32, rule=rule, expire_threshold=0.995, ema_decay=0.99)
    x = torch.randn(1, 4, 10)
    _, info = module(x)
    codes = module.quantize.quantizers[0].codebooks[0]
    put = (distances(codes, x[0].T) == 0).any(1)
    unused = 32 - len(info["indices"].unique())
    assert info["replaced_codes"].tolist() == [int(put.sum())] == [unused]
    assert unused > 10


def test_autocast_and_half_inputs():
    module = quantizer(8, 2, 16, 2).eval()
    x = torch.randn(2, 8, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, info = module(x)
        assert torch.equal(module.from_ids(info["indices"]), y)
    for training in (False, True):
        assert module.train(training)(x.half())[0].dtype == torch.float16


def test_non_finite_rows_and_empty_batches_do_no_harm():
    module = quantizer(8, 1, 16, 2, rule="budget", expire_threshold=0.9, ema_decay=0.5)
    x = torch.randn(2, 8, 9)
    x[0, 3, 4] = torch.nan
    y, _ = module(x)
    assert y[0, :, 4].isnan().all()
    assert y.isnan().sum() == 8
    y, info = module(x[:0])
    assert y.shape == (0, 8, 9)
    assert info["loss"] == 0
    assert all(value.isfinite().all() for value in module.state_dict().values())
    ema = quantizer(8, 1, 16, rule="ema")
    ema(x[:0])
    assert all(value.isfinite().all() for value in ema.state_dict().values())


def test_draws_of_the_experimental_classes_have_their_own_seed():
    """The Gumbel noise is a function of the module's seed and step, and leaves torch's generator alone."""
    torch.manual_seed(0)
    for module in (MQ1d(8, 16, 2, 1.0), QBit1d(channels=8, num_bits=2, num_layers=2, temperature=1.0)):
        twin, x = copy.deepcopy(module), torch.randn(2, 8, 12)
        torch.manual_seed(1)
        first = module(x)[1]["indices"]
        torch.manual_seed(2)
        assert torch.equal(twin(x)[1]["indices"], first)
        assert not torch.equal(module(x)[1]["indices"], first)


@pytest.mark.parametrize("module", [MQ1d(8, 16, 2, 0.7), QBit1d(8, 2, 3, 0.7)], ids=["mq", "qbit"])
def test_the_experimental_classes_pass_a_gradient_in_training_alone(module):
    """In eval the choice is hard: codes have the gradient of the output that is made of them, and nothing else."""
    module = copy.deepcopy(module)
    x = torch.randn(2, 8, 12, requires_grad=True)
    y, info = module.eval()(x)
    y.square().sum().backward()
    assert x.grad is None
    ours = [parameter.grad for parameter in module.parameters()]
    module.zero_grad()
    module.from_ids(info["indices"]).square().sum().backward()
    for parameter, grad in zip(module.parameters(), ours, strict=True):
        assert (grad is None) == (parameter.grad is None)
        assert grad is None or torch.equal(grad, parameter.grad)
    module.train()(x)[0].square().sum().backward()
    assert (x.grad != 0).any()


@pytest.mark.parametrize("overlaps", [1, 3])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_every_option_of_mq(overlaps, temperature):
    torch.manual_seed(0)
    module = MQ1d(channels=8, codebook_size=16, num_overlaps=overlaps, temperature=temperature)
    x = torch.randn(2, 8, 12)
    assert {part.temperature for part in module.quantizer.components} == {temperature}
    y, info = module.eval()(x)
    assert info["indices"].shape == (2, 1, 12, overlaps)
    assert [p.shape for p in info["perplexity"]] == [(1,)] * overlaps
    state = export_state_dict(module)
    rows, total = x.transpose(1, 2).double().numpy(), 0.0
    for number in range(overlaps):
        codes, keys, values = (
            state[f"quantize.memcodes.{number}.{name}"].detach().double().numpy()
            for name in ("codebook", "to_k.weight", "to_v.weight")
        )
        best = (rows @ (codes @ keys).T / np.sqrt(8)).argmax(-1)
        np.testing.assert_array_equal(info["indices"][:, 0, :, number], best)
        total = total + (codes @ values)[best]
    np.testing.assert_allclose(y.detach().transpose(1, 2), total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("num_bits", "num_layers", "temperature"), [(1, 1, 0.5), (4, 1, 1.0), (3, 3, 2.0)])
def test_every_option_of_qbit(num_bits, num_layers, temperature):
    torch.manual_seed(0)
    module = QBit1d(channels=8, num_bits=num_bits, num_layers=num_layers, temperature=temperature)
    x = torch.randn(2, 8, 12)
    y, info = module.eval()(x)
    assert module.quantizer.temperature == temperature
    state = export_state_dict(module)
    rest, total = x.transpose(1, 2).double().numpy(), 0.0
    for layer in range(num_layers):
        pair = state[f"layers.{layer}.codebook"].detach().double().numpy()
        bits = (rest @ pair.T).argmax(-1)
        rest, total = rest - pair[bits], total + pair[bits]
        np.testing.assert_array_equal(info["bits"][:, layer], bits)
        weights = 2 ** np.arange(num_bits)[::-1]
        np.testing.assert_array_equal(
            info["indices"][:, layer], (bits.reshape(2, -1, num_bits) * weights).sum(-1)
        )
    np.testing.assert_allclose(y.detach().transpose(1, 2), total, rtol=1e-4, atol=1e-5)


def test_every_difference_on_the_page_is_a_test():
    listed = [part.split("`")[0] for part in PAGE.read_text().split("`test_")[1:]]
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_quantizer_pytorch*.py"))
    names = [f"test_{name}" for name in listed if f"def test_{name}(" in here]
    assert len(names) == len(listed) > 12


# The table: what the old call and the new one give ----------------------------------------------------------------


def table() -> list[list[str]]:
    """The calls of the table on the page."""
    lines = PAGE.read_text().split("| old call |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in lines]


@pytest.mark.parametrize(("old", "new", "indices"), table(), ids=[row[0] for row in table()])
def test_old_and_new_calls_give_the_same(old, new, indices):
    names = names_of(codeword)
    facades = (MQ1d, QBit1d, Quantizer1d, QuantizerBlock1d, QuantizerChannelwise1d)
    names |= {facade.__name__: facade for facade in facades} | {"to_indices": to_indices}
    exec(PAGE.read_text().split("```python\n")[2].split("```")[0], names)
    torch.manual_seed(0)
    before, after = eval(old, names), eval(new, names)
    after.load_state_dict(before.quantizer.state_dict())
    for training in (False, True) if "ema" not in old else (False,):
        x, searched = torch.randn(3, 32, 24), copy.deepcopy(after)
        y, info = before.train(training)(x)
        out = after.train(training)(x)
        found = eval(indices, names | {"out": out})
        if (
            training and getattr(before, "num_residuals", 1) > 1
        ):  # later stages see what other codes leave over
            assert torch.equal(info["indices"][..., 0], found[..., 0])
            return
        assert torch.equal(info["indices"], found)
        if training and "loss" in info:  # theirs are of the codes before the update
            torch.testing.assert_close(y, searched.decode(out.indices))
            torch.testing.assert_close(info["loss"], (x - y).square().mean())
            torch.testing.assert_close(out.loss, (x - out.quantized).square().mean())
            continue
        torch.testing.assert_close(y, out.quantized)
        if "loss" in info:
            torch.testing.assert_close(info["loss"], out.loss)
    for key, value in before.quantizer.state_dict().items():
        if not key.endswith(("rng.key", "candidates")):  # which are drawn
            torch.testing.assert_close(after.state_dict()[key], value)

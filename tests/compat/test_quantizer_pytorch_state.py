"""State dictionaries of quantizer-pytorch: both generations, both ways, inside of models, and as codeword's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from codeword import CodewordError
from codeword.checkpoints import convert, convert_back
from codeword.compat import export_state_dict, install, uninstall
from codeword.compat.quantizer_pytorch import (
    BVQ,
    MQ1d,
    QBit1d,
    Quantizer1d,
    QuantizerBlock1d,
    QuantizerChannelwise1d,
    ResidualVQ,
)
from ranks import RANKS

State = dict[str, Tensor]


def foreign(rule: str, heads: int, size: int, width: int, stages: int, shared: bool = True) -> State:
    """A state dictionary as the original saves it after some training."""
    torch.manual_seed(3)
    state: State = {}
    codes, budget = torch.randn(heads, size, width), torch.rand(heads, size) + 0.5
    counts = torch.rand(heads, size) + 0.5
    for stage in range(stages):
        if stage and not shared:
            codes = torch.randn(heads, size, width)
        place = f"quantize.quantizers.{stage}."
        state[place + "codebooks"] = codes
        if rule == "budget":
            state[place + "budget_ema"] = budget
        else:
            state[place + "ema_cluster_size"] = counts
            state[place + "ema_embedding_sum"] = counts[..., None] * codes
    return state


def memory() -> State:
    torch.manual_seed(3)
    sizes = {"codebook": (16, 8), "to_k.weight": (8, 8), "to_v.weight": (8, 8)}
    return {f"quantize.memcodes.{o}.{k}": torch.randn(v) for o in range(2) for k, v in sizes.items()}


def layers() -> State:
    torch.manual_seed(3)
    state = {f"layers.{number}.codebook": torch.randn(2, 8) for number in range(3)}
    return state | {f"layers.{number}.bitmask": torch.tensor([4, 2, 1]) for number in range(3)}


CASES = {
    "timewise-ema": (lambda: Quantizer1d(8, 2, 16, 3), foreign("ema", 2, 16, 4, 3)),
    "timewise-budget": (lambda: Quantizer1d(8, 2, 16, 3), foreign("budget", 2, 16, 4, 3)),
    "timewise-unshared": (
        lambda: Quantizer1d(8, 1, 16, 3, shared_codebook=False),
        foreign("ema", 1, 16, 8, 3, shared=False),
    ),
    "channelwise": (lambda: QuantizerChannelwise1d(8, 4, 2, 16), foreign("ema", 2, 16, 4, 1)),
    "channelwise-budget": (lambda: QuantizerChannelwise1d(8, 4, 1, 16, 2), foreign("budget", 1, 16, 4, 2)),
    "blockwise": (lambda: QuantizerBlock1d(8, 4, 2, 16, 2), foreign("budget", 1, 16, 16, 2)),
    "blockwise-ema": (lambda: QuantizerBlock1d(8, 4, 2, 16), foreign("ema", 1, 16, 16, 1)),
    "mq": (lambda: MQ1d(8, 16, 2, 1.0), memory()),
    "qbit": (lambda: QBit1d(8, 3, 3, 1.0), layers()),
}


def loaded(name: str) -> nn.Module:
    build, state = CASES[name]
    module = build()
    module.load_state_dict(state, strict=True)
    return module


@pytest.mark.parametrize("name", CASES)
def test_the_originals_state_loads_strictly_and_comes_back(name):
    state = CASES[name][1]
    module = loaded(name)
    back = export_state_dict(module)
    assert set(back) == set(state)
    for key, value in state.items():
        torch.testing.assert_close(back[key], value, msg=key)
    module.load_state_dict(back)


@pytest.mark.parametrize("name", CASES)
def test_the_facades_own_state_loads_too_and_resumes(name):
    """Whatever rule its state is of."""
    trained, fresh = loaded(name), CASES[name][0]()
    trained(torch.randn(2, 8, 12))
    fresh.load_state_dict(trained.state_dict(), strict=True)
    for step in range(3):
        x = torch.randn(2, 8, 12)
        torch.manual_seed(step)
        y = trained(x, with_info=False)
        torch.manual_seed(step)
        assert torch.equal(fresh(x, with_info=False), y)
    for key, value in trained.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key])


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_of_a_whole_model_loads(name):
    build, state = CASES[name]
    model = nn.Sequential(nn.Conv1d(3, 8, 1), build())
    whole = {f"0.{key}": value for key, value in model[0].state_dict().items()}
    whole |= {f"1.{key}": value for key, value in state.items()}
    model.load_state_dict(whole, strict=True)
    for key, value in export_state_dict(model).items():
        torch.testing.assert_close(value, whole[key], msg=key)


def test_the_rule_follows_the_state():
    for kind, state in (
        (lambda: Quantizer1d(8, 2, 16, 2, rule="ema"), foreign("budget", 2, 16, 4, 2)),
        (lambda: QuantizerBlock1d(8, 4, 2, 16, 2), foreign("ema", 1, 16, 16, 2)),
    ):
        module = kind()
        other = {"ema": "budget", "budget": "ema"}[module.rule]
        module.load_state_dict(state)
        assert module.rule == other
        assert module.expire_threshold == {"ema": 0.0, "budget": 0.05}[other]
        assert ("budget" in module.eval()(torch.randn(1, 8, 12))[1]) == (other == "budget")


def test_a_threshold_of_counts_begins_with_counts():
    assert Quantizer1d(8, 2, 16, expire_threshold=0.9).rule == "budget"
    module = Quantizer1d(8, 2, 16, expire_threshold=2)
    assert module.rule == "ema"
    with pytest.raises(CodewordError, match="expire_threshold below 1, the mean budget, but got 2"):
        module.load_state_dict(foreign("budget", 2, 16, 4, 1))


def test_the_layers_by_themselves():
    inner = {key.removeprefix("quantize."): v for key, v in foreign("budget", 2, 16, 4, 2).items()}
    module = ResidualVQ(2, features=8, num_heads=2, codebook_size=16)
    module.load_state_dict(inner)
    assert {key: v.tolist() for key, v in export_state_dict(module).items()} == {
        key: v.tolist() for key, v in inner.items()
    }
    single = {key.removeprefix("quantizers.0."): v for key, v in inner.items() if ".0." in key}
    module = BVQ(8, 2, 16)
    module.load_state_dict(single)
    assert set(export_state_dict(module)) == {"codebooks", "budget_ema"}
    assert torch.equal(export_state_dict(module)["codebooks"], single["codebooks"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("timewise-ema", lambda s: s.pop("quantize.quantizers.1.codebooks"), "quantizers.1.codebooks"),
        ("timewise-ema", lambda s: s.update(extra=torch.zeros(3)), "but got 'extra' of shape"),
        (
            "timewise-budget",
            lambda s: s.update({"quantize.quantizers.2.codebooks": torch.zeros(2, 16, 4)}),
            "shared_codebook=False",
        ),
        (
            "channelwise",
            lambda s: s.update({"quantize.quantizers.0.ema_cluster_size": torch.ones(2, 5)}),
            r"'quantize.quantizers.0.ema_cluster_size' of shape \(2, 16\), but got \(2, 5\)",
        ),
        (
            "timewise-budget",
            lambda s: s.update({k: torch.zeros(3, 16, 4) for k in s if "codebooks" in k}),
            r"quantizers.0.codebooks' of 2 groups, but got shape \(3, 16, 4\)",
        ),
        (
            "timewise-budget",
            lambda s: s.update({k: torch.zeros(2, 9, 4) for k in s if "codebooks" in k}),
            r"of shape \(16, 4\), but got .*codebooks' \(2, 9, 4\)",
        ),
        ("qbit", lambda s: s.update({"layers.0.bitmask": torch.tensor([2, 1])}), "num_bits=2"),
        ("mq", lambda s: s.update({"quantize.memcodes.0.codebook": torch.zeros(9, 8)}), r"\(9, 8\)"),
    ],
)
def test_what_does_not_fit_is_named(name, change, message):
    build, state = CASES[name]
    state = dict(state)
    change(state)
    with pytest.raises((RuntimeError, CodewordError), match=message):
        build().load_state_dict(state)


OPTIONS = {
    "timewise": {},
    "channelwise": {"layout": "channelwise", "channels": 8},
    "blockwise": {"layout": "blockwise", "channels": 8, "num_groups": 2},
    "mq": {},
    "qbit": {"num_bits": 3},
}


@pytest.mark.parametrize("name", CASES)
def test_convert_gives_the_same_quantizer(name):
    state, options = CASES[name][1], OPTIONS[name.split("-")[0]]
    native = convert(state, library="quantizer-pytorch", **options)
    module = loaded(name).eval()
    x = torch.randn(2, 8, 12)
    y, _ = module(x)
    torch.testing.assert_close(native(x).quantized, y)
    assert torch.equal(native.decode(native.encode(x)), native(x).quantized)
    for key, value in convert_back(native, library="quantizer-pytorch", **options).items():
        torch.testing.assert_close(value, state[key], msg=key)


def test_options_of_convert():
    state = foreign("ema", 2, 16, 4, 1)
    native = convert(state, library="quantizer-pytorch", batch_size=3, ema_decay=0.9)
    book = native.components[0].components[0].codebook
    torch.testing.assert_close(book.cluster_size, 3 * state["quantize.quantizers.0.ema_cluster_size"][0])
    assert torch.equal(book.codes, state["quantize.quantizers.0.codebooks"][0])
    assert book.update.decay == 0.9
    native = convert(foreign("budget", 1, 16, 4, 1), library="quantizer-pytorch", expire_threshold=0.2)
    assert native.components[0].codebook.update.revival.share == 0.2
    assert convert(memory(), library="quantizer-pytorch", temperature=0.3).components[0].temperature == 0.3
    with pytest.raises(CodewordError, match="channels=, how many the input of the blockwise"):
        convert(state, library="quantizer-pytorch", layout="blockwise")
    with pytest.raises(CodewordError, match="a layout of timewise, channelwise, blockwise, but got 'rows'"):
        convert(state, library="quantizer-pytorch", layout="rows", channels=8)


def test_scripts_find_the_modules_of_the_original():
    install("quantizer_pytorch", force=True)
    try:
        from quantizer_pytorch import Quantizer1d as documented
        from quantizer_pytorch.quantizer import MQ1d as experimental
    finally:
        uninstall("quantizer_pytorch")
    assert documented is Quantizer1d
    assert experimental is MQ1d


def train(rank: int | None, rule: str) -> State:
    torch.manual_seed(0)
    module = Quantizer1d(8, 2, 16, 2, rule=rule, expire_threshold=0.7, ema_decay=0.8)
    for step in range(5):
        x = torch.randn(2 * RANKS, 8, 6, generator=torch.Generator().manual_seed(step))
        torch.manual_seed(step if not rank else 100 + rank)  # the first rank's draws are those that count
        module(x if rank is None else x.chunk(RANKS)[rank])
    return export_state_dict(module)


@pytest.mark.parametrize("rule", ["ema", "budget"])
def test_ranks_learn_what_one_process_learns(ranks, rule):
    alone = train(None, rule)
    for state in ranks.run(train, rule):
        for key, value in alone.items():
            torch.testing.assert_close(state[key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_copies_go_on_alike():
    module = loaded("timewise-budget")
    twin = copy.deepcopy(module)
    x = torch.randn(2, 8, 12)
    assert torch.equal(module(x)[0], twin(x)[0])

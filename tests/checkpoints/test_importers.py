"""Foreign state dictionaries, made small with the keys of the originals, against their formulas written out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from codeword import EMA, LFQ, CodewordError, Residual, VectorQuantizer
from codeword.checkpoints import LIBRARIES, convert, convert_back
from codeword.checkpoints.importers import KeyTable, dropped, kept, renamed
from codeword.convolutions import Convolutions

CODES, STAGES, WIDE = 16, 3, 12
State = dict[str, Tensor]


def encodec(prefix: str, codebook: str, *, width: int = WIDE, project: bool = False) -> State:
    state = {}
    for stage in range(STAGES):
        place = f"{prefix}layers.{stage}."
        counts = torch.rand(CODES) + 0.5
        smoothed = (counts + 1e-5) / (counts.sum() + CODES * 1e-5) * counts.sum()
        codes = torch.randn(CODES, width)
        state |= {
            f"{place}{codebook}inited": torch.ones(1),
            f"{place}{codebook}cluster_size": counts,
            f"{place}{codebook}embed": codes,
            f"{place}{codebook}embed_avg": smoothed[:, None] * codes,
        }
        if project:
            state |= {
                f"{place}project_in.weight": torch.randn(width, WIDE),
                f"{place}project_in.bias": torch.randn(width),
                f"{place}project_out.weight": torch.randn(WIDE, width),
                f"{place}project_out.bias": torch.randn(WIDE),
            }
    return state


def dac(norm: str, width: int = 4) -> State:
    state = {}
    for stage in range(STAGES):
        place = f"quantizer.quantizers.{stage}."
        for name, (out, into) in {"in_proj": (width, WIDE), "out_proj": (WIDE, width)}.items():
            if norm == "plain":
                state[f"{place}{name}.weight"] = torch.randn(out, into, 1)
            else:
                g, v = norm.split()
                state[f"{place}{name}.{g}"] = torch.rand(out, 1, 1) + 0.1
                state[f"{place}{name}.{v}"] = torch.randn(out, into, 1)
            state[f"{place}{name}.bias"] = torch.randn(out)
        state[f"{place}codebook.weight"] = torch.randn(CODES, width)
    return state


OLD = "weight_g weight_v"
NEW = "parametrizations.weight.original0 parametrizations.weight.original1"
MIMI = (
    "semantic_residual_vector_quantizer.",
    "acoustic_residual_vector_quantizer.",
    "layers.",
    "codebook.",
    "embed_sum",
)
MOSHI = ("rvq_first.", "rvq_rest.", "vq.layers.", "_codebook.", "embedding_sum")


def mimi(names: tuple[str, ...], width: int = 5) -> State:
    semantic, acoustic, layers, codebook, sums = names
    state = {}
    for stack, stages in ((semantic, 1), (acoustic, STAGES)):
        place = f"quantizer.{stack}"
        state[f"{place}input_proj.weight"] = torch.randn(width, WIDE, 1)
        state[f"{place}output_proj.weight"] = torch.randn(WIDE, width, 1)
        for stage in range(stages):
            book = f"{place}{layers}{stage}.{codebook}"
            state[f"{book}{'_' * codebook.startswith('_')}initialized"] = torch.ones(1)
            used = torch.arange(CODES) > 0  # one was never used
            state[f"{book}cluster_usage"] = (torch.rand(CODES) + 0.1) * used
            state[f"{book}{sums}"] = torch.randn(CODES, width) * used[:, None]
    return state


# The formulas -------------------------------------------------------------------------------------------------


def _numbers(state: State) -> dict[str, np.ndarray]:
    return {key: tensor.double().numpy() for key, tensor in state.items()}


def _nearest(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((rows[:, None] - codes[None]) ** 2).sum(-1).argmin(1)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def encodec_formula(
    state: State, rows: np.ndarray, stages: str, codebook: str
) -> tuple[np.ndarray, np.ndarray]:
    s, left, total, found = _numbers(state), rows, np.zeros_like(rows), []
    for stage in range(STAGES):
        place = f"{stages}layers.{stage}."
        inner = left
        if f"{place}project_in.weight" in s:
            inner = left @ s[f"{place}project_in.weight"].T + s[f"{place}project_in.bias"]
        index = _nearest(inner, s[f"{place}{codebook}embed"])
        q = s[f"{place}{codebook}embed"][index]
        if f"{place}project_out.weight" in s:
            q = q @ s[f"{place}project_out.weight"].T + s[f"{place}project_out.bias"]
        left, total = left - q, total + q
        found.append(index)
    return np.stack(found, -1), total


def dac_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s, left, total, found = _numbers(state), rows, np.zeros_like(rows), []

    def project(x: np.ndarray, place: str) -> np.ndarray:
        if f"{place}.weight" in s:
            weight = s[f"{place}.weight"]
        else:
            g, v = next(
                (f"{place}.{a}", f"{place}.{b}") for a, b in (OLD.split(), NEW.split()) if f"{place}.{a}" in s
            )
            weight = s[g] * s[v] / np.sqrt((s[v] ** 2).sum((1, 2), keepdims=True))
        return x @ weight[..., 0].T + s[f"{place}.bias"]

    for stage in range(STAGES):
        place = f"quantizer.quantizers.{stage}."
        codes = s[f"{place}codebook.weight"]
        index = _nearest(_unit(project(left, f"{place}in_proj")), _unit(codes))
        q = project(codes[index], f"{place}out_proj")
        left, total = left - q, total + q
        found.append(index)
    return np.stack(found, -1), total


def mimi_formula(
    state: State, rows: np.ndarray, names: tuple[str, ...], stack: int
) -> tuple[np.ndarray, np.ndarray]:
    s, place, (_, _, layers, codebook, sums) = _numbers(state), f"quantizer.{names[stack]}", names
    left = rows @ s[f"{place}input_proj.weight"][..., 0].T
    total, found = np.zeros_like(left), []
    for stage in range((1, STAGES)[stack]):
        book = f"{place}{layers}{stage}.{codebook}"
        codes = s[f"{book}{sums}"] / np.maximum(s[f"{book}cluster_usage"], 1e-5)[:, None]
        index = _nearest(left, codes)
        left, total = left - codes[index], total + codes[index]
        found.append(index)
    return np.stack(found, -1), total @ s[f"{place}output_proj.weight"][..., 0].T


def snac_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The second stage by itself."""
    s, place = _numbers(state), "quantizer.quantizers.1."
    weights = {}
    for name in ("in_proj", "out_proj"):
        g, v = (s[f"{place}{name}.{half}"] for half in NEW.split())
        weights[name] = (g * v / np.sqrt((v**2).sum((1, 2), keepdims=True)))[..., 0].T
    narrow = rows @ weights["in_proj"] + s[f"{place}in_proj.bias"]
    codes = s[f"{place}codebook.weight"]
    index = _nearest(_unit(narrow), _unit(codes))
    return index, codes[index] @ weights["out_proj"] + s[f"{place}out_proj.bias"]


def nemo(prefix: str) -> State:
    names = {
        "inited": "initialized",
        "embed": "codes",
        "embed_avg": "codes_avg",
        "cluster_size": "cluster_size",
    }
    state = {}
    for key, tensor in encodec("", "").items():
        place, name = key.rsplit(".", 1)
        state[f"{prefix}{place.replace('layers', 'codebooks')}.{names[name]}"] = tensor
    return state


def nemo_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s, left, total, found = _numbers(state), rows, np.zeros_like(rows), []
    for stage in range(STAGES):
        codes = s[f"vector_quantizer.codebooks.{stage}.codes"]
        index = _nearest(left, codes)
        left, total = left - codes[index], total + codes[index]
        found.append(index)
    return np.stack(found, -1), total


def ibq_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes = state["quantize.embedding.weight"].double().numpy()
    index = (rows @ codes.T).argmax(1)
    return index, codes[index]


def simvq() -> State:
    weight, bias = torch.randn(WIDE, WIDE), torch.randn(WIDE)
    return embedding() | {
        "quantize.embedding_proj.weight": weight,
        "quantize.embedding_proj.bias": bias,
    }


def simvq_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s = _numbers(state)
    codes = s["quantize.embedding.weight"] @ s["quantize.embedding_proj.weight"].T
    codes = codes + s["quantize.embedding_proj.bias"]
    index = _nearest(rows, codes)
    return index, codes[index]


def taming_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes = state["quantize.embedding.weight"].double().numpy()
    index = _nearest(rows, codes)
    return index, codes[index]


def llamagen_formula(state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes = _unit(state["quantize.embedding.weight"].double().numpy())
    index = _nearest(_unit(rows), codes)
    return index, codes[index]


@dataclass(frozen=True)
class Case:
    """A library, its state within a whole model, and what it computes."""

    library: str
    state: Callable[[], State]
    formula: Callable[[State, np.ndarray], tuple[np.ndarray, np.ndarray]]
    prefix: str
    options: tuple[tuple[str, Any], ...] = ()
    spelled_anew: bool = False  # given back in another spelling than it came in


def _encodec(library: str, prefix: str, codebook: str, **made: Any) -> Case:
    return Case(
        library,
        lambda: encodec(prefix, codebook, **made),
        lambda state, rows: encodec_formula(state, rows, prefix, codebook),
        prefix,
    )


def _dac(library: str, norm: str) -> Case:
    return Case(library, lambda: dac(norm), dac_formula, "quantizer.", spelled_anew=norm == NEW)


def _mimi(names: tuple[str, ...], stack: int) -> Case:
    return Case(
        "mimi",
        lambda: mimi(names),
        lambda state, rows: mimi_formula(state, rows, names, stack),
        f"quantizer.{names[stack]}",
        (("stack", ("semantic", "acoustic")[stack]),),
        spelled_anew=names == MOSHI,
    )


def embedding() -> State:
    return {
        "quantize.embedding.weight": torch.randn(CODES, WIDE),
        "quant_conv.weight": torch.randn(2, 2, 1, 1),
    }


CASES = {
    "encodec": _encodec("encodec", "quantizer.vq.", "_codebook."),
    "encodec, narrow codes": _encodec("encodec", "quantizer.vq.", "_codebook.", width=4, project=True),
    "encodec of transformers": _encodec("encodec-transformers", "quantizer.", "codebook."),
    "dac": _dac("dac", OLD),
    "dac, parametrised": _dac("dac", NEW),
    "dac of transformers": _dac("dac-transformers", "plain"),
    "mimi, semantic": _mimi(MIMI, 0),
    "mimi, acoustic": _mimi(MIMI, 1),
    "moshi, semantic": _mimi(MOSHI, 0),
    "moshi, acoustic": _mimi(MOSHI, 1),
    "snac": Case(
        "snac", lambda: dac(NEW), snac_formula, "quantizer.quantizers.1.", (("stage", 1),), spelled_anew=True
    ),
    "nemo": Case("nemo", lambda: nemo("vector_quantizer."), nemo_formula, "vector_quantizer."),
    "ibq": Case("ibq", embedding, ibq_formula, "quantize."),
    "simvq": Case("simvq", simvq, simvq_formula, "quantize."),
    "titok": Case(
        "titok",
        lambda: embedding() | {"quantize.embed_prob": torch.zeros(CODES)},
        llamagen_formula,
        "quantize.",
    ),
    "taming": Case("taming", embedding, taming_formula, "quantize."),
    "llamagen": Case(
        "llamagen",
        lambda: embedding() | {"quantize.codebook_used": torch.zeros(9)},
        llamagen_formula,
        "quantize.",
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return CASES[request.param]


def test_the_quantizer_computes_what_the_original_does(case: Case) -> None:
    state = case.state() | {"encoder.weight": torch.zeros(3)}
    quantizer = convert(state, library=case.library, **dict(case.options))
    x = torch.randn(4, WIDE, 50)
    indices, quantized = case.formula(state, x.movedim(1, -1).reshape(-1, WIDE).double().numpy())
    out = quantizer(x)
    assert not quantizer.training
    assert np.array_equal(out.indices.reshape(indices.shape).numpy(), indices)
    found = out.quantized.movedim(1, -1).reshape(-1, WIDE).detach().numpy()
    np.testing.assert_allclose(found, quantized, rtol=1e-4, atol=2e-4)
    assert torch.equal(quantizer.decode(out.indices), out.quantized)


def test_half_precision_is_read_as_it_is(case: Case) -> None:
    state = {key: tensor.bfloat16() for key, tensor in case.state().items()}
    quantizer = convert(state, library=case.library, **dict(case.options))
    x = torch.randn(2, WIDE, 20)
    indices, _ = case.formula(state, x.movedim(1, -1).reshape(-1, WIDE).double().numpy())
    assert np.array_equal(quantizer.encode(x).reshape(indices.shape).numpy(), indices)
    assert {tensor.dtype for tensor in quantizer.state_dict().values()} <= {
        torch.float32,
        torch.int64,
        torch.bool,
    }


def test_the_state_goes_back(case: Case) -> None:
    state = case.state()
    quantizer = convert(state, library=case.library, **dict(case.options))
    back = convert_back(quantizer, library=case.library, prefix=case.prefix, **dict(case.options))
    own = {
        key: tensor
        for key, tensor in state.items()
        if key.startswith(case.prefix) and not key.endswith(("codebook_used", "embed_prob"))
    }
    assert len(back) == len(own)
    again = convert(back, library=case.library, prefix=case.prefix, **dict(case.options))
    kept_state, state_again = quantizer.state_dict(), again.state_dict()
    for key in kept_state:
        if "rng" not in key and "transform" not in key:
            torch.testing.assert_close(state_again[key], kept_state[key], rtol=1e-6, atol=1e-6)
    if case.spelled_anew:
        return
    for key, tensor in own.items():
        if key.endswith(("embed_avg", "embed_sum", "codes_avg")):  # sums follow from codes and counts
            torch.testing.assert_close(back[key], tensor, rtol=1e-6, atol=0)
        elif not key.endswith(("weight_g", "weight_v")):  # whose product is what counts
            assert torch.equal(back[key], tensor)


def test_it_trains_on(case: Case) -> None:
    quantizer = convert(case.state(), library=case.library, **dict(case.options)).train()
    out = quantizer(torch.randn(4, WIDE, 50).requires_grad_())
    (out.quantized.square().mean() + out.loss).backward()
    assert bool(out.loss.isfinite())
    assert quantizer.ready


def test_each_key_counts(case: Case) -> None:
    """A key left out, added or of another shape is named."""
    state, options = case.state(), dict(case.options)
    own = [key for key in state if key.startswith(case.prefix)]
    for key in own:
        if (
            key.endswith(("codebook_used", "embed_prob")) or "project" in key
        ):  # what shows the shape of the whole
            continue
        less = {name: tensor for name, tensor in state.items() if name != key}
        with pytest.raises(CodewordError):
            convert(less, library=case.library, prefix=case.prefix, **options)
    with pytest.raises(CodewordError, match="another_one"):
        convert(state | {f"{case.prefix}another_one": torch.zeros(1)}, library=case.library, **options)


def test_stages_of_snac_make_its_stack() -> None:
    """Their sum, each at its own rate, decodes to what a stack at one rate does not."""
    torch.manual_seed(0)
    state, strides = dac(NEW), (4, 2, 1)
    x = torch.randn(2, WIDE, 16)
    left, found = x, []
    for number, stride in enumerate(strides):
        stage = convert(state, library="snac", stage=number)
        indices = stage.encode(torch.nn.functional.avg_pool1d(left, stride, stride))
        left = left - stage.decode(indices).repeat_interleave(stride, -1)
        found.append(indices)
    assert [tuple(indices.shape) for indices in found] == [(2, 4), (2, 8), (2, 16)]
    rows = x.unflatten(-1, (4, 4)).mean(-1).movedim(1, -1).reshape(-1, WIDE).double().numpy()
    first = {key.replace("quantizers.0.", "quantizers.1."): t for key, t in state.items() if "s.0." in key}
    assert np.array_equal(snac_formula(first, rows)[0], found[0].flatten().numpy())


@pytest.mark.parametrize(
    "key",
    [
        "decoder.model.2.block.2.linear.parametrizations.weight.original0",
        "encoder.block.5.to_qkv.weight",
    ],
)
def test_a_model_of_snac_is_no_dac(key: str) -> None:
    state = dac(NEW) | {key: torch.zeros(3)}
    with pytest.raises(CodewordError, match=r'a key of SNAC; pass library="snac"'):
        convert(state, library="dac")
    assert convert(state, library="snac", stage=2).features == WIDE


def test_wavtokenizer_has_one_codebook() -> None:
    prefix = "feature_extractor.encodec.quantizer.vq."
    state = encodec(prefix, "_codebook.")
    with pytest.raises(CodewordError, match="one codebook of WavTokenizer, but got 3"):
        convert(state, library="wavtokenizer")
    state = {key: tensor for key, tensor in state.items() if "layers.0." in key}
    x = torch.randn(2, WIDE, 30)
    indices = convert(state, library="wavtokenizer").encode(x)
    codes = state[f"{prefix}layers.0._codebook.embed"].double().numpy()
    rows = x.movedim(1, -1).reshape(-1, WIDE).double().numpy()
    assert np.array_equal(indices.flatten().numpy(), _nearest(rows, codes))


@pytest.mark.parametrize("groups", [0, 2])
def test_fsq_of_nemo_is_its_formula(groups: int) -> None:
    levels = torch.tensor([8, 5, 4], dtype=torch.int32)
    steps = torch.tensor([1, 8, 40], dtype=torch.int32)
    places = [f"fsqs.{group}." for group in range(groups)] or [""]
    state = {}
    for place in places:
        state[f"vector_quantizer.{place}num_levels"] = levels[None, :, None]
        state[f"vector_quantizer.{place}dim_base_index"] = steps[None, :, None]
    quantizer = convert(state, library="nemo-fsq")
    x = 2 * torch.randn(2, 3 * len(places), 40)
    z = x.double().numpy().reshape(2, len(places), 3, 40)
    count = levels.numpy()[:, None]
    half = (count - 1) / 2 * (1 - 1e-3)
    offset = np.where(count % 2 == 0, 0.5, 0)
    whole = np.round(np.tanh(z + np.tan(offset / half)) * half - offset)
    indices = ((whole + count // 2) * steps.numpy()[:, None]).sum(2)  # (2, groups, 40)
    out = quantizer(x)
    assert np.array_equal(out.indices.reshape(2, 40, -1).movedim(-1, 1).numpy(), indices)
    values = (whole / (count // 2)).reshape(x.shape)
    np.testing.assert_allclose(out.quantized.numpy(), values, atol=1e-6)
    back = convert_back(quantizer, library="nemo-fsq", prefix="vector_quantizer.")
    assert {key: tensor.tolist() for key, tensor in back.items()} == {k: t.tolist() for k, t in state.items()}


@pytest.mark.parametrize(
    ("spelling", "count"),
    [("", 0), ("qresi.", 1), ("qresi_ls.{}.", 2), ("qresi_ls.{}.", 3), ("qresi_ls.{}.", 4), ("{}.", 4)],
)
def test_var_is_multiscale(spelling: str, count: int) -> None:
    """Against its loop in float64: of `count` convolutions a scale has the one at the nearest tick."""
    torch.manual_seed(0)
    codes = torch.randn(CODES, 4)
    state = {"quantize.embedding.weight": codes, "quantize.ema_vocab_hit_SV": torch.zeros(4, CODES)}
    for number in range(count):
        place = f"quantize.quant_resi.{spelling}".format(number)
        state |= {f"{place}weight": 0.3 * torch.randn(4, 4, 3, 3), f"{place}bias": torch.randn(4)}
    quantizer = convert(state, library="var", sizes=(1, 2, 3, 4), quant_resi=0.4)
    edge = 1 / 3 / count if count == 4 else 1 / 2 / max(count, 1)
    ticks = np.linspace(edge, 1 - edge, count)
    x = torch.randn(2, 4, 4, 4)
    left, found = x.double(), []
    for scale, side in enumerate((1, 2, 3, 4)):
        small = torch.nn.functional.interpolate(left, size=(side, side), mode="area")
        index = _nearest(small.movedim(1, -1).reshape(-1, 4).numpy(), codes.double().numpy())
        index = torch.from_numpy(index).view(2, side, side)
        grown = codes.double()[index].movedim(-1, 1)
        if side < 4:
            grown = torch.nn.functional.interpolate(grown, size=(4, 4), mode="bicubic")
        if count:
            nearest = int(np.argmin(np.abs(ticks - scale / 3)))
            place = f"quantize.quant_resi.{spelling}".format(nearest)
            weight, bias = state[f"{place}weight"].double(), state[f"{place}bias"].double()
            grown = 0.6 * grown + 0.4 * torch.nn.functional.conv2d(grown, weight, bias, padding=1)
        left = left - grown
        found.append(index.flatten(1))
    out = quantizer(x)
    assert torch.equal(out.indices, torch.cat(found, 1))
    torch.testing.assert_close(out.quantized.double(), x.double() - left, atol=1e-5, rtol=1e-5)
    back = convert_back(quantizer, library="var", prefix="quantize.")
    if (spelling, count) != ("qresi_ls.{}.", 4):  # as many as scales are written as one for each
        assert back.keys() == state.keys() - {"quantize.ema_vocab_hit_SV"}
        assert all(torch.equal(tensor, state[key]) for key, tensor in back.items())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10])
def test_scales_of_var_have_the_convolution_that_numpy_finds(count: int) -> None:
    edge = 1 / 3 / count if count == 4 else 1 / 2 / count
    ticks = np.linspace(edge, 1 - edge, count)
    for scales in (2, 3, 5, 10):
        wanted = [int(np.argmin(np.abs(ticks - k / (scales - 1)))) for k in range(scales)]
        assert [Convolutions(count).of(k, scales) for k in range(scales)] == wanted


def test_a_library_without_weights_says_what_to_build() -> None:
    with pytest.raises(CodewordError, match=r"got open-magvit2; its quantizer has no weights: build LFQ"):
        convert({}, library="open-magvit2")
    z = torch.randn(50, 6, 3)
    lfq = LFQ(6, 6, dim=1).eval()
    indices = lfq.encode(z.flip(1))
    assert torch.equal(indices, ((z > 0) * 2 ** torch.arange(6)[:, None]).sum(1))
    assert torch.equal(lfq.decode(indices).flip(1), torch.where(z > 0, 1.0, -1.0))


def test_a_missing_and_a_misshapen_key_are_named() -> None:
    state = encodec("quantizer.vq.", "_codebook.")
    key = "layers.1._codebook.embed_avg"
    less = {name: tensor for name, tensor in state.items() if not name.endswith(key)}
    with pytest.raises(CodewordError, match=re.escape(key)):
        convert(less, library="encodec")
    state[f"quantizer.vq.{key}"] = torch.zeros(CODES, WIDE + 1)
    with pytest.raises(CodewordError, match=r"layers\.1\._codebook\.embed_avg' \(16, 13\)"):
        convert(state, library="encodec")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"library": "speech"}, "encodec"),
        ({"library": "taming", "gamma": 1}, "gamma.*beta, legacy, dim"),
        ({"library": "mimi", "stack": "both"}, "semantic"),
        ({"library": "taming", "prefix": "vq."}, "prefix"),
        ({"state": {"state_dict": {}}, "library": "taming"}, "state_dict"),
        ({"state": 3, "library": "taming"}, "int"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(CodewordError, match=named):
        convert(change.pop("state", embedding()), **change)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_are_read(tmp_path: Path, suffix: str) -> None:
    state, path = embedding(), tmp_path / f"model{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    quantizer = convert(path, library="taming")
    assert isinstance(quantizer, VectorQuantizer)
    assert torch.equal(quantizer.codebook.codes.detach(), state["quantize.embedding.weight"])


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"quantize.embedding.weight": _Harmful()}, "model.pt")
    with pytest.raises(Exception, match="[Ww]eights"):
        convert("model.pt", library="taming")
    assert not Path("harm").exists()


def test_losses_are_weighed_as_theirs() -> None:
    x = torch.randn(2, WIDE, 30)
    state = embedding()
    for options, (rows, codes) in (
        ({"library": "taming"}, (1.0, 0.25)),
        ({"library": "taming", "legacy": False, "beta": 0.5}, (0.5, 1.0)),
        ({"library": "llamagen", "l2_norm": False}, (0.25, 1.0)),
    ):
        quantizer = convert(state, **options)
        out = quantizer(x)
        error = (out.quantized - x).square().mean()
        torch.testing.assert_close(out.loss, (rows + codes) * error)
        assert {p.name: p.weight for p in quantizer.penalties} == {"commitment": rows, "codebook": codes}


# The table ----------------------------------------------------------------------------------------------------


def test_a_table_names_what_it_drops_and_what_it_does_not_know() -> None:
    table = KeyTable([renamed("a", "x"), dropped("b", "a counter", optional=True), kept("y")])
    native = {"x": torch.zeros(2), "y": torch.ones(1)}
    assert table.dropped() == {"b": "a counter"}
    read = table.read({"a": torch.ones(2), "b": torch.zeros(5)}, native)
    assert torch.equal(read["x"], torch.ones(2))
    assert read["y"] is native["y"]
    assert list(table.write(read)) == ["a"]
    with pytest.raises(CodewordError, match="'aa'.*nearest known key is 'a'"):
        table.read({"a": torch.ones(2), "aa": torch.ones(2)}, native)
    with pytest.raises(CodewordError, match="'z'"):
        table.write(native | {"z": torch.zeros(1)})


def test_what_is_given_back_is_live() -> None:
    quantizer = Residual([VectorQuantizer(WIDE, CODES, update=EMA()) for _ in range(2)], dim=1)
    back = convert_back(quantizer, library="encodec")
    quantizer.quantizers[0].codebook.codes[0, 0] = 7.0
    assert back["layers.0._codebook.embed"][0, 0] == 7.0


def test_the_pages_name_all_libraries() -> None:
    pages = "".join(page.read_text() for page in (Path(__file__).parents[2] / "docs" / "moving").glob("*.md"))
    assert [name for name in LIBRARIES if f"`{name}`" not in pages and f'"{name}"' not in pages] == []

"""States of vqtorch: loaded strictly by the facade and by `convert`, and given back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codeword.checkpoints import convert, convert_back
from codeword.compat import export_state_dict
from codeword.compat.vqtorch import (
    AffineTransform,
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
    VectorQuantize,
)
from codeword.errors import CodewordError
from words import said


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=5.0, momentum=0.9)


TABLE = ("codebook.weight", (16, 32))
SCALE = [("affine_transform.scale", (2, 32)), ("affine_transform.bias", (2, 32))]
LINEAR = [("norm_layer.weight", (32,)), ("norm_layer.bias", (32,))]
BATCHES = [
    ("norm_layer.running_mean", (32,)),
    ("norm_layer.running_var", (32,)),
    ("norm_layer.num_batches_tracked", ()),
]

# What the original saves, written down from it: a layer, how it is built, its keys and their shapes.
STATES: list[tuple[type, dict[str, Any], list[tuple[str, tuple[int, ...]]]]] = [
    (VectorQuant, {}, [TABLE]),
    (VectorQuant, {"beta": 1.0, "inplace_optimizer": sgd}, [TABLE]),
    (VectorQuant, {"affine_lr": 2.0, "affine_groups": 2}, [TABLE, *SCALE]),
    (VectorQuant, {"replace_freq": 5}, [("_counts", (16,)), TABLE]),
    (VectorQuant, {"kmeans_init": True}, [("data_initialized", (1,)), TABLE]),
    (VectorQuant, {"norm": "bn"}, [*LINEAR, *BATCHES, TABLE]),
    (
        VectorQuant,
        {"norm": "gn", "cb_norm": "l2", "affine_lr": 1.0, "affine_groups": 2},
        [*LINEAR, TABLE, *SCALE],
    ),
    (VectorQuant, {"norm": "in", "cb_norm": "l2c"}, [TABLE]),
    (GroupVectorQuant, {"groups": 4}, [("codebook.weight", (16, 8))]),
    (
        GroupVectorQuant,
        {"groups": 4, "share": False, "replace_freq": 5},
        [("_counts", (16,)), ("codebook.weight", (16, 8))],
    ),
    (
        GroupVectorQuant,
        {"groups": 2, "share": False, "affine_lr": 1.0, "kmeans_init": True},
        [
            ("data_initialized", (1,)),
            ("codebook.weight", (16, 16)),
            ("affine_transform.scale", (1, 16)),
            ("affine_transform.bias", (1, 16)),
        ],
    ),
    (ResidualVectorQuant, {"groups": 3}, [TABLE]),
    (
        ResidualVectorQuant,
        {"groups": 4, "share": False, "affine_lr": 1.0, "affine_groups": 2},
        [TABLE, *SCALE],
    ),
    (VectorQuantize, {}, [TABLE]),
    (VectorQuantize, {"groups": 4, "dist": "cosine"}, [("codebook.weight", (16, 8))]),
    (
        VectorQuantize,
        {"groups": 4, "shared_codebook": False},
        [(f"codebook.{group}.weight", (4, 8)) for group in range(4)],
    ),
]


def state_of(keys: list[tuple[str, tuple[int, ...]]]) -> dict[str, Tensor]:
    state = {key: numbers(*shape, seed=n).abs() for n, (key, shape) in enumerate(keys)}
    state |= {key: torch.tensor(3) for key in state if key.endswith("num_batches_tracked")}
    state |= {key: torch.ones(1) for key in state if key == "data_initialized"}
    state |= {key: value.mul(5).round().clamp(1, 5) for key, value in state.items() if key == "_counts"}
    return state


def same(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert sorted(one) == sorted(two)
    for key, value in one.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(two[key], value, rtol=0, atol=0)


@pytest.mark.parametrize(("cls", "options", "keys"), STATES, ids=said)
def test_a_state_of_the_original_is_loaded_and_given_back(
    cls: type, options: dict[str, Any], keys: list[tuple[str, tuple[int, ...]]]
) -> None:
    state = state_of(keys)
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "vq": cls(32, 16, **options)})
    whole = {**{f"encoder.{key}": value for key, value in model["encoder"].state_dict().items()}}
    whole |= {f"vq.{key}": value for key, value in state.items()}
    model.load_state_dict({key: value.clone() for key, value in whole.items()})
    same(export_state_dict(model), whole)
    assert model["vq"].quantizer.ready
    table = torch.cat([book.codes for book in model["vq"].books])
    assert torch.equal(
        table, torch.cat([value for key, value in state.items() if key.startswith("codebook.")])
    )


@pytest.mark.parametrize(("cls", "options", "keys"), STATES, ids=said)
def test_its_own_state_resumes_exactly(cls: type, options: dict[str, Any], keys: Any) -> None:
    torch.manual_seed(0)
    one = cls(32, 16, **options)
    torch.manual_seed(1)
    two = cls(32, 16, **options)
    for step in range(3):
        one(numbers(30, 32, 2, 2, seed=step))
    two.load_state_dict(one.state_dict())
    three = copy.deepcopy(one)
    z = numbers(30, 32, 2, 2, seed=9)
    results = []
    for vq in (one, two, three):
        torch.manual_seed(5)
        results.append(vq(z)[0])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    same(export_state_dict(one), export_state_dict(two))
    same(export_state_dict(one), export_state_dict(three))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"affine_transform.scale": torch.zeros(1, 32)},
            "'affine_transform.scale'.*options of the checkpoint",
        ),
        ({"codebook.weight": torch.zeros(8, 32)}, r"codebook.weight.*\(8, 32\).*sizes of the checkpoint"),
        ({"norm_layer.wight": torch.zeros(32)}, "norm_layer.wight.*norm_layer.weight"),
    ],
)
def test_a_checkpoint_of_another_configuration_says_which_key(change: dict[str, Tensor], words: str) -> None:
    state = state_of([*LINEAR, *BATCHES, TABLE]) | change
    with pytest.raises(RuntimeError, match=f"(?s){words}"):
        VectorQuant(32, 16, norm="bn").load_state_dict(state)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(RuntimeError, match="the key 'affine_transform.scale'"):
        VectorQuant(32, 16, affine_lr=1.0).load_state_dict(state_of([TABLE]))


# convert --------------------------------------------------------------------------------------------------------

NATIVE: list[tuple[type, dict[str, Any]]] = [
    (VectorQuant, {}),
    (VectorQuant, {"dim": -1, "beta": 0.5, "sync_nu": 1.0}),
    (VectorQuant, {"cb_norm": "l2"}),
    (VectorQuant, {"cb_norm": "l2c"}),
    (VectorQuant, {"affine_lr": 2.0, "affine_groups": 2}),
    (VectorQuant, {"kmeans_init": True}),
    (GroupVectorQuant, {"groups": 4}),
    (GroupVectorQuant, {"groups": 4, "share": False, "affine_lr": 2.0}),
    (ResidualVectorQuant, {"groups": 3}),
    (ResidualVectorQuant, {"groups": 4, "share": False, "kmeans_init": True}),
    (VectorQuantize, {}),
    (VectorQuantize, {"groups": 4}),
    (VectorQuantize, {"dist": "cosine"}),
    (VectorQuantize, {"dist": "cosine", "vector_normalize": True}),
    (VectorQuantize, {"dist": "cosine", "groups": 4}),
    (VectorQuantize, {"dist": "cosine", "groups": 4, "vector_normalize": True, "shared_codebook": False}),
]


@pytest.mark.parametrize(("cls", "options"), NATIVE, ids=str)
def test_a_converted_state_is_the_same_quantizer_and_goes_back(cls: type, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    vq = cls(32, 16, **options)
    for parameter in vq.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    vq(numbers(30, 32, 32))
    state = {f"model.vq.{key}": value for key, value in export_state_dict(vq.eval()).items()}
    told = {"share" if key == "shared_codebook" else key: value for key, value in options.items()}
    for key in ("kmeans_init", "affine_groups"):  # the state tells
        told.pop(key, None)
    quantizer = convert(state, library="vqtorch", prefix="model.vq.", layer=cls.__name__, **told)
    z = numbers(3, 32, 32, seed=2)
    z_q, info = vq(z)
    # Vectors of length 1 cut into groups: codeword has the length in front
    rows = (
        torch.nn.functional.normalize(z, dim=1)
        if options.get("dist") == "cosine" and not options.get("vector_normalize")
        else z
    )
    out = quantizer(rows)
    offsets = vq.indices_of(torch.zeros_like(out.indices)) if cls is not VectorQuantize else 0
    assert torch.equal(out.indices.reshape(info["q"].shape) + offsets, info["q"])
    torch.testing.assert_close(out.quantized, z_q)
    back = convert_back(quantizer, library="vqtorch", prefix="model.vq.", layer=cls.__name__, **told)
    same(back, state)
    quantizer.train()(numbers(30, 32, 32)).loss.backward()


def test_what_has_no_place_in_a_quantizer_is_refused_by_name() -> None:
    normed = export_state_dict(VectorQuant(32, 16, norm="bn"))
    with pytest.raises(CodewordError, match="norm_layer.weight.*put the norm in front"):
        convert(normed, library="vqtorch")
    running = VectorQuant(32, 16)
    running.affine_transform = AffineTransform(32, use_running_statistics=True)
    with pytest.raises(CodewordError, match="running_"):
        convert(export_state_dict(running), library="vqtorch")
    both = export_state_dict(VectorQuant(32, 16, affine_lr=1.0))
    with pytest.raises(CodewordError, match="a norm or an affine map"):
        convert(both, library="vqtorch", cb_norm="l2")
    with pytest.raises(CodewordError, match="a layer of VectorQuant"):
        convert(both, library="vqtorch", layer="VectorQuantizer")
    waiting = export_state_dict(VectorQuant(32, 16, replace_freq=3))
    assert "_counts" not in convert_back(convert(waiting, library="vqtorch"), library="vqtorch")

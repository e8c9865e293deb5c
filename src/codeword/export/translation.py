"""The nearest-code search, and what else torch cannot translate, in the operators of ONNX.

The rows are searched block by block in a Scan, so that a graph holds the scores of a block of rows and never those of
all of them. ArgMax and TopK take the lowest index among equals, as the search here does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from codeword.kernels.nearest.prepare import SAMPLE
from codeword.packages import load

__all__ = ["translations"]

TINY, LEAST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).min / 2

# Of erfinv(x) / x, the highest power first: in w - 2.5 below w = 5, then in sqrt(w) - 3, for w = -log(1 - x^2)
ERFINV_MIDDLE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 2.1858087e-04),
    *(-1.25372503e-03, -4.17768164e-03, 2.46640727e-01, 1.50140941),
)
ERFINV_TAIL = (
    *(-2.00214257e-04, 1.00950558e-04, 1.34934322e-03, -3.67342844e-03, 5.73950773e-03),
    *(-7.6224613e-03, 9.43887047e-03, 1.00167406, 2.83297682),
)

SCRATCH_SCORES = 1 << 20  # scores held at once: 4 MiB of float32


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` is to be told about the operators of codeword: its `custom_translation_table`.

    For models of your own with quantizers in them; `onnx_model` passes it by itself.

    Raises:
        CodewordError: the extra `export` is not installed.
    """
    onnxscript = load("onnxscript", "export")
    op, ir = onnxscript.opset18, onnxscript.ir

    def search(rows: Any, codes: Any, offsets: Any, shift: Any, k: int) -> Any:
        offsets, shift = op.Unsqueeze(offsets, [1]), op.Unsqueeze(shift, [1])
        return _found(op, ir, rows, (codes, offsets, shift), k)

    def nearest(rows: Any, codes: Any, metric: str, k: int) -> Any:
        return _found(op, ir, rows, _prepare(op, codes, metric), k)

    def product(
        values: Any, dims: Any
    ) -> Any:  # of the levels of an FSQ: torch has no translation of its own
        return op.ReduceProd(values, dims, keepdims=0)

    def normal_quantile(share: Any) -> Any:
        return _normal_quantile(op, share)

    product.__annotations__ = {"dims": Sequence[int]}
    search.__annotations__ = {"k": int}  # as objects: they tell torch what is no tensor
    nearest.__annotations__ = {"metric": str, "k": int}
    return {
        torch.ops.codeword.search.default: search,
        torch.ops.codeword.nearest.default: nearest,
        torch.ops.prims.prod.default: product,
        torch.ops.aten.special_ndtri.default: normal_quantile,
    }


def _prepare(op: Any, codes: Any, metric: str) -> tuple[Any, Any, Any]:
    """The codes (G, K, D) centred, their offsets (G, 1, K) and the shift of the rows; see `kernels/nearest/prepare`."""
    zero, least = op.CastLike(0.0, codes), op.CastLike(LEAST, codes)
    like = codes
    if metric == "cosine":
        length = op.Sqrt(op.ReduceSum(op.Mul(codes, codes), [-1], keepdims=1))
        codes = op.Div(codes, op.Max(length, op.CastLike(TINY, codes)))
    centre = _centre(op, codes, like.shape[1])
    centred = op.Sub(codes, centre)
    offsets = op.Mul(op.ReduceSum(op.Mul(centred, centred), [-1], keepdims=1), op.CastLike(-0.5, codes))
    finite = _are_finite(op, offsets)
    euclidean = metric == "euclidean"
    offsets = op.Transpose(op.Where(finite, offsets if euclidean else zero, least), perm=[0, 2, 1])
    centred = op.Where(finite, centred, zero)
    centred.dtype, centred.shape = like.dtype, like.shape
    return centred, offsets, centre if euclidean else zero


def _centre(op: Any, codes: Any, size: int) -> Any:
    """The middle (G, 1, D) of the codes, as `kernels/nearest/prepare` finds it."""
    step = -(-size // SAMPLE)
    some = -(-size // step)
    sample = op.Slice(codes, _whole(op, 0), _whole(op, size), _whole(op, 1), _whole(op, step))
    sample = op.Where(op.IsNaN(sample), op.CastLike(float("inf"), sample), sample)
    lower, _ = op.TopK(sample, _whole(op, (some + 1) // 2), axis=1, largest=0, sorted=0)
    middle = op.ReduceMax(lower, [1], keepdims=1)
    return op.Where(op.IsInf(middle), op.CastLike(0.0, middle), middle)


def _found(op: Any, ir: Any, rows: Any, prepared: tuple[Any, Any, Any], k: int) -> Any:
    codes, offsets, shift = prepared
    finite = _are_finite(op, rows)
    centred = op.Where(finite, op.Sub(rows, shift), op.CastLike(0.0, rows))
    found = _by_blocks(op, ir, centred, codes, offsets, k)
    if k == 1:
        return op.Where(op.Squeeze(finite, [-1]), found, 0)
    return op.Where(finite, found, list(range(k)))


def _by_blocks(op: Any, ir: Any, rows: Any, codes: Any, offsets: Any, k: int) -> Any:
    """The best of rows (G, N, D): (G, N), or (G, N, k). All blocks have one size, so a few zeros are added."""
    groups, size, features = codes.shape
    zero, one, most = _whole(op, 0), _whole(op, 1), _whole(op, max(SCRATCH_SCORES // (groups * size), 1))
    count = op.Shape(rows, start=1, end=2)
    blocks = op.Max(_divide_up(op, count, most), one)
    block = _divide_up(op, count, blocks)
    padded = op.Mul(blocks, block)
    pads = op.Concat(_whole(op, 0, 0, 0, 0), op.Sub(padded, count), zero, axis=0)
    shape = op.Concat(_whole(op, groups), blocks, block, _whole(op, features), axis=0)
    stacked = op.Reshape(op.Pad(rows, pads), shape, allowzero=1)
    body = _search(ir, codes, op.Transpose(codes, perm=[0, 2, 1]), offsets, k)
    found = op.Scan(stacked, body=body, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1])
    trailing = [] if k == 1 else [_whole(op, k)]
    found = op.Reshape(found, op.Concat(_whole(op, groups), padded, *trailing, axis=0), allowzero=1)
    return op.Slice(found, zero, count, one)


def _search(ir: Any, codes: Any, transposed: Any, offsets: Any, k: int) -> Any:
    """The graph from a block of rows (G, B, D) to the best of them."""
    groups, _, features = codes.shape
    rows = ir.Value(name="rows", type=ir.TensorType(codes.dtype), shape=ir.Shape([groups, None, features]))
    tape = ir.tape.Tape()
    scores = tape.op("Add", [tape.op("MatMul", [rows, transposed]), offsets])
    if k == 1:
        best = tape.op("ArgMax", [scores], {"axis": -1, "keepdims": 0})
    else:
        wanted = tape.op("Constant", [], {"value": ir.tensor([k], dtype=ir.DataType.INT64)})
        _, best = tape.op_multi_out("TopK", [scores, wanted], {"axis": -1}, num_outputs=2)
    best.dtype = ir.DataType.INT64
    return ir.Graph([rows], [best], nodes=list(tape.nodes), name="search")


def _normal_quantile(op: Any, share: Any) -> Any:
    """The inverse of the normal distribution function, to the precision of float32.

    Source: the polynomials of Giles 2012, "Approximating the erfinv function".
    """

    def number(value: float) -> Any:
        return op.CastLike(value, share)

    def polynomial(at: Any, coefficients: tuple[float, ...]) -> Any:
        value = number(coefficients[0])
        for coefficient in coefficients[1:]:
            value = op.Add(op.Mul(value, at), number(coefficient))
        return value

    other = op.Sub(number(1.0), share)
    w = op.Neg(op.Log(op.Mul(op.Mul(share, other), number(4.0))))
    middle = polynomial(op.Sub(w, number(2.5)), ERFINV_MIDDLE)
    tail = polynomial(op.Sub(op.Sqrt(w), number(3.0)), ERFINV_TAIL)
    slope = op.Where(op.Less(w, number(5.0)), middle, tail)
    return op.Mul(op.Mul(slope, op.Sub(share, other)), number(2**0.5))


def _are_finite(op: Any, vectors: Any) -> Any:
    """(..., 1) bool for (..., D): x - x is 0 or NaN."""
    return op.Equal(op.ReduceSum(op.Sub(vectors, vectors), [-1], keepdims=1), op.CastLike(0.0, vectors))


def _divide_up(op: Any, value: Any, by: Any) -> Any:
    return op.Div(op.Sub(op.Add(value, by), _whole(op, 1)), by)


def _whole(op: Any, *numbers: int) -> Any:
    return op.Constant(value_ints=list(numbers))

"""`--json`: what a command has found, as one JSON object on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeword.workbench.data import Skipped
    from codeword.workbench.evaluate import Evaluation, Scores

__all__ = ["of_evaluation", "of_skipped", "put_json"]


def put_json(values: Mapping[str, Any]) -> None:
    """Write values as one line; numbers that JSON does not have, such as an endless PSNR, are null.

    Examples:
        >>> put_json({"psnr": math.inf, "items": 2})
        {"psnr": null, "items": 2}
    """
    sys.stdout.write(json.dumps(_plain(values), allow_nan=False) + "\n")


def of_evaluation(evaluation: Evaluation, protocol: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The means over all items, how they were measured and on what, and the metrics of each (of the first 1,000)."""
    values = {"items": evaluation.measured, "codebook_sizes": list(evaluation.codebook_sizes)}
    facts = {"protocol": {**(protocol or {}), "reference": evaluation.reference}}
    each = [_named(one) for one in evaluation.items]
    return {**values, **_of_scores(evaluation.total), **facts, "each": each}


def of_skipped(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """What was left out, and why."""
    return [{"path": one.path, "reason": one.reason} for one in skipped]


def _of_scores(scores: Scores) -> dict[str, Any]:
    return {"metrics": scores.metrics, "perplexity": scores.perplexity, "codes_used": scores.used}


def _named(scores: Scores) -> dict[str, Any]:
    return {"name": scores.name, **_of_scores(scores)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

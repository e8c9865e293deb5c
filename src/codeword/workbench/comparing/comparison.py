"""The folder of a comparison: its settings, the result of each quantizer, and the frontier."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Metric

__all__ = ["Comparison", "Outcome", "folder_name", "frontier", "stored_values"]

RESULTS, VERSION = "results.json", 1
NAMED = ("quantizer", "folder", "failed", "on_frontier")  # keys of a result; all others are measurements


class Outcome(NamedTuple):
    """The result of one quantizer."""

    quantizer: str
    folder: str
    """Its run, within the folder of the comparison."""
    failed: str | None
    """Why nothing was measured; None otherwise."""
    measured: dict[str, Any]
    """Plain values by name, as in results.json."""


class Comparison:
    """`results.json` in a folder: it is rewritten after each quantizer, so that a comparison can be resumed.

    Args:
        folder: of the comparison; the runs are in it.
        data: what they are trained on.
        config: their settings; its quantizer is ignored.
        method: how codebooks are made: "train" or "fit".
        fingerprint: of the data: names and sizes.
        metrics: quality and cost, which the frontier is about.

    Raises:
        CodewordError: the folder has a comparison of other data or settings, or other content.
    """

    def __init__(
        self,
        folder: Path,
        data: str,
        config: TrainConfig,
        method: str,
        fingerprint: str,
        metrics: Sequence[Metric],
    ) -> None:
        self.folder = folder
        self.quality, self.cost = metrics[:2]
        self.head = {
            "version": VERSION,
            "data": data,
            "fingerprint": fingerprint,
            "method": method,
            "settings": _shared(config),
        }
        self.outcomes: dict[str, Outcome] = {}
        stored = stored_values(folder)
        if stored is not None:
            _check_same(stored, self.head, folder)
            for result in stored["results"]:
                measured = {name: value for name, value in result.items() if name not in NAMED}
                spec = result["quantizer"]
                self.outcomes[spec] = Outcome(spec, result["folder"], result["failed"], measured)

    def record(self, outcome: Outcome) -> None:
        """Add an outcome, or replace an earlier one, and write the file."""
        self.outcomes[outcome.quantizer] = outcome
        self.write()

    def write(self) -> None:
        """Write the file."""
        content = json.dumps(self.values(), indent=2, allow_nan=False)
        write_whole(self.folder / RESULTS, (content + "\n").encode())

    def values(self) -> dict[str, Any]:
        """Everything as plain values; a number that is not finite is None."""
        best = self.on_frontier()
        results = [
            {
                "quantizer": outcome.quantizer,
                "folder": outcome.folder,
                "failed": outcome.failed,
                "on_frontier": outcome.quantizer in best,
                **outcome.measured,
            }
            for outcome in self.outcomes.values()
        ]
        names = {"quality": self.quality.key, "cost": self.cost.key}
        whole: dict[str, Any] = _finite(self.head | names | {"results": results})
        return whole

    def on_frontier(self) -> set[str]:
        """The quantizers that no other beats at the same cost or less."""
        sign = 1 if self.quality.higher_is_better else -1
        points = {
            spec: (metrics[self.cost.key], sign * metrics[self.quality.key])
            for spec, metrics in self.metrics().items()
            if all(_is_finite(metrics[key]) for key in (self.cost.key, self.quality.key))
        }
        return frontier(points)

    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics of each quantizer that did not fail."""
        done = (outcome for outcome in self.outcomes.values() if outcome.failed is None)
        return {outcome.quantizer: outcome.measured["metrics"] for outcome in done}


def stored_values(folder: Path) -> dict[str, Any] | None:
    """The content of results.json in a folder; None: there is no such file.

    Raises:
        CodewordError: it cannot be read.
    """
    file = folder / RESULTS
    if not file.exists():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']!r}")
        values["data"], values["method"], values["settings"]
        for result in values["results"]:
            if result["folder"] != folder_name(result["quantizer"]):
                raise ValueError(f"the folder {result['folder']!r:.80} for {result['quantizer']!r:.80}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        got, remedy = f"{file} ({error})", "pass another --out, or compare with the codeword that wrote it"
        raise CodewordError.of("the results of a comparison", got, remedy) from error
    return values


def folder_name(spec: str) -> str:
    """A folder name for the run of a spec: the spec itself, without characters that file names should not have.

    Examples:
        >>> folder_name("vq1024,cosine"), folder_name("gvq2x(rvq4x256)")
        ('vq1024_cosine', 'gvq2x_rvq4x256-386482')
    """
    plain = spec.replace(",", "_")
    if re.fullmatch(r"[\w=.-]{1,100}", plain):
        return plain
    readable = re.sub(r"[^\w=.-]+", "_", spec)[:80].strip("_.")
    return f"{readable}-{hashlib.sha256(spec.encode()).hexdigest()[:6]}"


def frontier(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """The names of the points (cost, quality) that no other dominates: none is as good at less, or better at the same.

    Examples:
        >>> sorted(frontier({"a": (1, 5), "b": (2, 7), "c": (2, 6), "d": (3, 7)}))
        ['a', 'b']
    """
    return {
        name
        for name, (cost, quality) in points.items()
        if not any(
            other_cost <= cost and other_quality >= quality and (other_cost, other_quality) != (cost, quality)
            for other_cost, other_quality in points.values()
        )
    }


def _shared(config: TrainConfig) -> dict[str, Any]:
    values = config.to_values()
    del values["quantizer"]
    return values


def _check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    for name in ("data", "method"):
        _check_value(name, stored.get(name), asked[name], folder)
    model = stored["settings"].get("model")
    if model is not None and asked["settings"]["model"] is None:
        got, remedy = f"no --model; it calls it {model!r}", "say it again, if you know it and trust it"
        raise CodewordError.of(f"the encoder and the decoder of {folder}", got, remedy)
    for name, value in asked["settings"].items():
        _check_value(name, stored["settings"].get(name), value, folder)
    if stored.get("fingerprint") != asked["fingerprint"]:
        raise CodewordError.of(
            f"the data that the comparison in {folder} was started with",
            "other data (names or sizes differ)",
            "restore it, or compare into another folder",
        )


def _check_value(name: str, stored: Any, asked: Any, folder: Path) -> None:
    if stored != asked:
        raise CodewordError.of(
            f"{name} {stored} to go on with {folder}, as it was started",
            f"{asked}",
            "leave that out, or compare into another folder",
        )


def _finite(value: Any) -> Any:
    """Plain values without the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value if not isinstance(value, float) or _is_finite(value) else None


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

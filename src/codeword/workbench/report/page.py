"""Build and write the report page of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.quantizers.composite import Multiscale
from codeword.version import __version__
from codeword.workbench.comparing.measures import StagePoint, metrics_by_stage
from codeword.workbench.evaluate import Evaluation, evaluate
from codeword.workbench.modalities import Items, Metric, Modality, kind_of_data
from codeword.workbench.report.charts import Series, line_chart
from codeword.workbench.report.codes import BANDS, codebooks
from codeword.workbench.report.exhibits import exhibits
from codeword.workbench.report.patches import patches_of
from codeword.workbench.report.render import render
from codeword.workbench.report.run_info import RunInfo, run_info
from codeword.workbench.tokenizing.code_use import CodeUse, say_codes
from codeword.workbench.tokenizing.tokenize import ItemTokenizer, groups
from codeword.workbench.training.run import Run

__all__ = ["write_report"]

POSITIONS = 2**16  # about how many positions the use of the codes is counted on
MEASURED = 64  # items, if data is named
LISTED = 20
Track = Callable[[Iterable[Any], str], Iterable[Any]]


def write_report(
    tokenizer: ItemTokenizer,
    folder: Path,
    out: Path,
    data: str | None = None,
    track: Track = lambda items, what: items,
) -> None:
    """Write the page of a run.

    Args:
        tokenizer: of the run.
        folder: the run.
        out: the file to write.
        data: the data to show and measure; None: the held-out part of the training data.
        track: wraps the stream of items, with a label, to show progress.

    Raises:
        CodewordError: there is no data, or data of another kind; a package is missing; the disk is full.
    """
    facts = run_info(Run(folder), tokenizer.trained)
    where, items, kind = _items(tokenizer, facts, data)
    evaluation = evaluate(tokenizer, track(items, "measuring"))
    stream = tokenizer.modality.stream(where, tokenizer.tokenizer.least)
    encoded, use, positions = _encode(tokenizer, track(stream, "counting codes"))
    shown, count = codebooks(tokenizer.trained.quantizer, use)
    stages = metrics_by_stage(tokenizer, items)
    stage_word = "scales" if isinstance(tokenizer.trained.quantizer, Multiscale) else "stages"
    content = render(
        "page.html",
        name=folder.resolve().name,
        version=__version__,
        facts=facts,
        modality=tokenizer.modality,
        where=where,
        kind=kind,
        evaluation=evaluation,
        listed=_rows(evaluation, tokenizer.modality),
        starred=any(tokenizer.modality.starred(line.metrics) for line in evaluation.items),
        headings=[metric.heading for metric in _present(evaluation, tokenizer.modality)],
        summary=_summary(tokenizer, evaluation, use),
        curves=_curves(facts, tokenizer.modality),
        exhibits=exhibits(tokenizer, items),
        codebooks=shown,
        codebook_count=count,
        bands=BANDS,
        positions=positions,
        patches=patches_of(encoded, tokenizer.tokenizer.stride) if encoded else [],
        stages=_stages(stages, tokenizer.modality),
        stage_charts=_stage_charts(stages, tokenizer.modality, stage_word),
        stage_word=stage_word,
    )
    write_whole(out, content.encode())


def _items(tokenizer: ItemTokenizer, facts: RunInfo, data: str | None) -> tuple[str, Items, str]:
    """The data, the items to measure, and their description."""
    modality = tokenizer.modality
    if data is None and facts.data is not None and facts.config is not None:
        opened = kind_of_data(facts.data)
        if opened.kind == modality.kind:
            source = opened.of_data(facts.data, facts.config).source(facts.data, facts.config)
            if source.held_out:
                return facts.data, source.held_out, f"held-out {modality.items}"
    data = facts.data if data is None else data
    if data is None:
        got, remedy = "a tokenizer that does not say what it was trained on", "pass --data"
        raise CodewordError.of("data to report on", got, remedy)
    items = list(islice(modality.stream(data, tokenizer.tokenizer.least), MEASURED))
    known = facts.data in (None, data)
    return data, items, f"{modality.items} of {data}{', which it may have learned from' if known else ''}"


def _encode(
    tokenizer: ItemTokenizer, stream: Any
) -> tuple[list[tuple[np.ndarray, np.ndarray]], CodeUse, int]:
    """The use of the codes over the first items; for pictures also the items with the first index of each position."""
    model, modality = tokenizer.tokenizer, tokenizer.modality
    codebook_count, keep = len(model.codebook_sizes), modality.kind == "image"
    use, kept, positions = CodeUse(codebook_count), [], 0
    some, same = tee(stream)
    for items, (_, tokens) in zip(groups(some, modality.together), tokenizer.encode_all(same), strict=False):
        use.add(tokens)
        positions += tokens.size // codebook_count
        if keep:
            first = tokens.reshape(*tokens.shape[: 1 + len(model.grid)], codebook_count)[..., 0]
            kept += [(item, indices) for (_, item), indices in zip(items, first, strict=True)]
        if positions >= POSITIONS:
            break
    return kept, use, positions


def _present(evaluation: Evaluation, modality: Modality) -> list[Metric]:
    return [metric for metric in modality.metrics if metric.key in evaluation.total.metrics]


def _rows(evaluation: Evaluation, modality: Modality) -> list[tuple[str, ...]]:
    """The table of metrics: some items and the mean of all."""
    metrics = _present(evaluation, modality)
    rows = []
    for line in (*evaluation.items[:LISTED], evaluation.total._replace(name="mean of all")):
        cells = [f"{line.metrics[metric.key]:.{metric.decimals}f}" for metric in metrics]
        cells[-1] += "*" if modality.starred(line.metrics) else ""
        rows.append((line.name, *cells))
    return rows


def _summary(tokenizer: ItemTokenizer, evaluation: Evaluation, use: CodeUse) -> list[tuple[str, str]]:
    """The numbers at the top, with their labels."""
    model, modality = tokenizer.trained, tokenizer.modality
    total, entropy = evaluation.total.metrics, sum(used.entropy for used in use.of_codebooks)
    return [
        *((f.heading, f"{total[f.key]:.{f.decimals}f}") for f in modality.metrics[:2]),
        ("quantizer", model.quantizer.spec),
        ("codes", say_codes(model.codebook_sizes).removesuffix(" codes")),
        ("codes used", f"{use.used / sum(model.codebook_sizes):.1%}"),
        ("perplexity", f"{use.perplexity:.1f}"),
        ("bits per position", f"{model.bits_per_position:.2f}"),
        ("entropy per position", f"{entropy:.2f} bits"),
    ]


def _curves(facts: RunInfo, modality: Modality) -> list[tuple[str, list[str], str]]:
    """Title, labels and SVG of the curves of training."""
    watched = modality.metrics[0]

    def series(label: str, key: str, marked: bool = False) -> Series:
        points = [
            (float(line["step"]), float(line[key])) for line in facts.metrics if line.get(key) is not None
        ]
        return Series(label, points, marked)

    wanted = (
        (
            watched.heading,
            [series("training batches", watched.key), series("held out", f"held_out_{watched.key}", True)],
        ),
        ("loss", [series("training batches", "loss")]),
        ("share of codes used", [series("between lines of the log", "used")]),
    )
    return [
        (title, [one.label for one in some if one.points], line_chart(title, some, "step", ""))
        for title, some in wanted
        if any(one.points for one in some)
    ]


def _stages(points: Sequence[StagePoint], modality: Modality) -> list[tuple[str, ...]]:
    """The rows of the table of stages."""
    return [
        (
            f"{point.stages}",
            f"{point.bits:.1f}",
            *(f"{point.metrics[f.key]:.{f.decimals}f}" for f in modality.metrics if f.key in point.metrics),
        )
        for point in points
    ]


def _stage_charts(points: Sequence[StagePoint], modality: Modality, word: str) -> list[tuple[str, str]]:
    if not points:
        return []
    metric = modality.metrics[0]
    spots = [(float(point.stages), point.metrics[metric.key]) for point in points]
    title = f"{metric.heading} after each {word[:-1]}"
    return [(title, line_chart(title, [Series(metric.heading, spots, True)], word, ""))]

"""`README.md` of a checkpoint: its model card."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codeword.checkpoints.config import Model
from codeword.tokenizers import Tokenizer
from codeword.version import __version__

__all__ = ["CARD", "ModelCard"]

CARD = "README.md"
TAGS = ("codeword", "vector-quantization")


@dataclass(frozen=True)
class ModelCard:
    """What you add to the card of a model; sizes, bits and how to load it come from the model.

    The card is Markdown after a block of YAML, in the format of the Hugging Face Hub. It says which of these are
    missing.

    Args:
        name: such as `owner/name` of the Hub; None: the name that it is saved under.
        summary: what the model is for, in a sentence or two of Markdown.
        data: what it was trained on.
        figures: what was measured, by name with the unit: `{"PSNR, dB": 24.1}`.
        measured_on: what the figures were measured on.
        license: an identifier of the Hub, such as `mit` or `cc-by-4.0`.
        tags: search words of the Hub, in addition to `codeword` and the kind of data.

    Examples:
        >>> import codeword
        >>> vq = codeword.VectorQuantizer(8, 16)
        >>> card = ModelCard(name="me/vq", data="numbers drawn at random", license="mit")
        >>> print(card.text(vq))  # doctest: +ELLIPSIS
        ---
        library_name: "codeword"
        license: "mit"
        tags: ["codeword", "vector-quantization"]
        ---
        <BLANKLINE>
        # me/vq
        ...
    """

    name: str | None = None
    summary: str | None = None
    data: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    measured_on: str | None = None
    license: str | None = None
    tags: Sequence[str] = ()

    def text(self, model: Model, name: str = "model") -> str:
        """The whole card.

        Args:
            model: a quantizer or a tokenizer.
            name: what it is called if the card has no name.
        """
        title = self.name or name
        parts = (
            _metadata(self.license, [*TAGS, *_kind(model), *self.tags]),
            f"# {title}",
            self.summary or "",
            _table("model", dict(_facts(model))),
            f"## Data\n\n{self.data or 'The author of this card does not say what the model was trained on.'}",
            f"## Figures\n\n{self._measured()}",
            f"## Use\n\n{_use(model, title)}",
            f"## Licence\n\n{self.license or 'None is given: ask the author before you use the model.'}",
        )
        return "\n\n".join(part for part in parts if part) + "\n"

    def _measured(self) -> str:
        if not self.figures:
            return "The author of this card gives none."
        place = f"Measured on {self.measured_on}.\n\n" if self.measured_on else ""
        return place + _table("figure", {name: f"{value:.4g}" for name, value in self.figures.items()})


def _metadata(license: str | None, tags: Sequence[str]) -> str:
    """The block that the Hub reads: strings of JSON are strings of YAML."""
    values = {"library_name": "codeword", "license": license, "tags": list(dict.fromkeys(tags))}
    lines = (f"{key}: {json.dumps(value)}" for key, value in values.items() if value)
    return "\n".join(("---", *lines, "---"))


def _table(heading: str, values: Mapping[str, str]) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in values.items())
    return f"| {heading} | |\n|---|---|\n{rows}"


def _kind(model: Model) -> list[str]:
    return [model.kind] if isinstance(model, Tokenizer) else []


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    """What the model tells about itself."""
    tokenizer = model if isinstance(model, Tokenizer) else None
    quantizer = model.quantizer if isinstance(model, Tokenizer) else model
    yield "class", f"`{type(model).__name__}`"
    yield "quantizer", f"`{quantizer.spec}`, of {quantizer.features} features"
    yield "codebooks", _codebooks(model.codebook_sizes)
    bits = sum(map(math.log2, model.codebook_sizes))
    if tokenizer and tokenizer.grid:
        yield "bits for a position", f"{bits:.4g}"
        unit, axes = tokenizer.unit, len(tokenizer.grid)
        yield f"{unit} for a position", " x ".join([str(tokenizer.stride)] * axes)
        yield f"bits for a {unit.removesuffix('s')}", f"{bits / tokenizer.stride**axes:.4g}"
        facts = tokenizer.facts.items()
        yield from ((name.replace("_", " "), str(value)) for name, value in facts if name != "stride")
    else:
        yield "bits for a vector", f"{bits:.4g}"
    yield "weights", f"{sum(tensor.numel() for tensor in model.state_dict().values()):,} numbers"
    yield "saved with", f"codeword {__version__}"


def _codebooks(sizes: Sequence[int]) -> str:
    if len(set(sizes)) == 1:
        return f"{len(sizes)} of {sizes[0]} codes"
    return f"{len(sizes)}, of {', '.join(map(str, sizes))} codes"


def _use(model: Model, name: str) -> str:
    """How to load it, as a block of Python."""
    networks = model.networks if isinstance(model, Tokenizer) else None
    decodes = isinstance(model, Tokenizer) or model.decodes
    lines = (
        "```python",
        "import codeword",
        "",
        f"model = codeword.from_pretrained({json.dumps(name)}{', networks=networks' if networks else ''})",
        "indices = model.encode(x)",
        *(["reconstruction = model.decode(indices)"] if decodes else []),
        "```",
        "",
        "The model is in eval mode and on the CPU.",
        *(
            [f"`x` may have the shape {tuple(model.example().shape)}."]
            if isinstance(model, Tokenizer)
            else []
        ),
        *([f"Its encoder and decoder are the author's own: pass `{networks['name']}`."] if networks else []),
    )
    return "\n".join(lines)

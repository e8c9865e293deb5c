"""`codeword tokens`: what is in token files, how small they could be, and other formats of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitSubcommandPrefixes, Positional, subcommand

from codeword.cli.console import Console
from codeword.cli.tokens_files import opened, put_result
from codeword.cli.tokens_pack import Pack, Unpack

if TYPE_CHECKING:
    from codeword.workbench.tokenizing.token_stats import TokenInspection, TokenStats

__all__ = ["Tokens"]

SIZES = {
    "plain": "narrowest unsigned integers",
    "packed": "as few whole bits as each codebook needs",
    "entropy": "what their frequencies allow",
    "zstd": "zstd of the plain ones",
    "coded": "range coder, adaptive frequencies",
}
MOST_CODEBOOKS = 32  # that are listed on the screen


@dataclass(frozen=True)
class Info:
    """Print what token files contain: kind, tokenizer, items, codebooks. Everything in them is verified."""

    tokens: Positional[Path]
    """A token file, or a folder of them."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Look, and give the exit code."""
        from codeword.workbench.tokenizing.token_stats import inspect_tokens

        console, tokens = opened(self.tokens, quiet=self.json, verify="full")
        inside = inspect_tokens(tokens, console.track(tokens.batches(), "reading"))
        if self.json:
            return put_result({"path": str(self.tokens), **inside.to_json()})
        console.say(*_said(_facts(str(self.tokens), inside)))
        return 0


@dataclass(frozen=True)
class Stats:
    """Count the codes, and measure the size of the tokens: packed, with zstd, and with a range coder.

    The range coder needs `pip install "codeword[entropy]"`. It adapts to the frequencies of the tokens before, so no
    table is needed to decode; everything is decoded again and compared.
    """

    tokens: Positional[Path]
    """A token file, or a folder of them."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.tokenizing.token_stats import measure

        console, tokens = opened(self.tokens, quiet=self.json)
        stats = measure(
            tokens.header,
            console.track(tokens.batches(), "measuring"),
            tokens.sizes() if tokens.header.sized else None,
        )
        if self.json:
            return put_result({"path": str(self.tokens), **stats.to_json()})
        _show_codebooks(console, stats)
        _show_sizes(console, stats)
        return 0


@dataclass(frozen=True)
class Tokens:
    """Look into token files, measure them, or write them in other formats, and back."""

    what: OmitSubcommandPrefixes[
        Annotated[Info, subcommand("info")]
        | Annotated[Stats, subcommand("stats")]
        | Annotated[Pack, subcommand("pack")]
        | Annotated[Unpack, subcommand("unpack")]
    ]

    def run(self) -> int:
        """Do what was asked for, and give the exit code."""
        return self.what.run()


def _said(facts: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(word) for word, _ in facts)
    return [f"{word:<{width}}  {value}" for word, value in facts]


def _facts(path: str, inside: TokenInspection) -> list[tuple[str, str]]:
    from codeword.workbench.tokenizing.code_use import say_codes

    lists = "one token" if not inside.trailing_shape else f"tokens of shape {inside.trailing_shape}"
    return [
        ("tokens", path),
        ("kind", inside.kind),
        ("tokenizer", inside.tokenizer),
        *([("name", inside.name)] if inside.name else []),
        ("items", f"{inside.items}"),
        *((axis, _range(*sides)) for axis, sides in inside.grid.items()),
        ("tokens in all", f"{inside.tokens}"),
        ("codebooks", say_codes(inside.codebook_sizes)),
        ("at a position", f"{lists}, {inside.token_type}"),
        *((name.replace("_", " "), f"{value}") for name, value in inside.facts.items()),
        ("size", f"{inside.bytes} bytes in {inside.files} file{'s' * (inside.files != 1)}"),
        ("format version", f"{inside.version}"),
    ]


def _range(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"


def _show_codebooks(console: Console, stats: TokenStats) -> None:
    rows = [
        (f"{number}", f"{book.size}", f"{book.used}", f"{book.perplexity:.1f}", f"{book.entropy:.3f}")
        for number, book in enumerate(stats.codebooks[:MOST_CODEBOOKS])
    ]
    headings = ("codebook", "codes", "used", "perplexity", "entropy, bits")
    console.table(f"{stats.items} items, {stats.tokens} tokens", headings, rows)
    if len(stats.codebooks) > MOST_CODEBOOKS:
        console.say(f"and {len(stats.codebooks) - MOST_CODEBOOKS} more codebooks (--json has all)")


def _show_sizes(console: Console, stats: TokenStats) -> None:
    rows = [
        (SIZES[name], f"{size}", f"{stats.bits_per_item[name]:.1f}", *(_rate(stats, name)))
        for name, size in stats.bytes.items()
    ]
    headings = ("tokens without names", "bytes", "bits/item", *([stats.unit] if stats.rate else []))
    console.table("how small", headings, rows)
    if "coded" not in stats.bytes:
        console.say('the range coder needs: pip install "codeword[entropy]"')


def _rate(stats: TokenStats, name: str) -> list[str]:
    return [f"{stats.rate[name]:.4g}"] if stats.rate else []

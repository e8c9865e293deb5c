"""The public names and their signatures, as they were last agreed on: `python tests/test_api.py` writes them anew."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import codeword
from public import public_names

SNAPSHOT = Path(__file__).with_name("api.txt")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def described() -> str:
    """One line for each public name, and for each public member that all quantizers have."""
    names = public_names()
    return "".join(f"{line}\n" for name in sorted(names) for line in lines(name, names[name]))


def lines(name: str, value: object) -> list[str]:
    if not callable(value):
        return [f"{name}: {type(value).__name__}"]
    found = [name + signature(value)]
    if value is codeword.Quantizer:
        found += [
            f"{name}.{key}{member(value, key)}" for key in sorted(vars(value)) if not key.startswith("_")
        ]
    return found


def member(cls: type, key: str) -> str:
    found = inspect.getattr_static(cls, key)
    if isinstance(found, property):
        return ": property"
    value = getattr(cls, key)
    return signature(value) if callable(value) else ""


def signature(value: object) -> str:
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    return ADDRESS.sub("", text)


def test_nothing_public_has_changed_unseen():
    """A name or a parameter that goes is a break: say so in the changelog, and write the snapshot anew."""
    found, wanted = described().splitlines(), SNAPSHOT.read_text().splitlines()
    gone = [line for line in wanted if line not in found]
    new = [line for line in found if line not in wanted]
    assert not gone, f"gone: {gone}; run `python tests/test_api.py` if that is meant"
    assert not new, f"new: {new}; run `python tests/test_api.py`"


if __name__ == "__main__":
    SNAPSHOT.write_text(described())
    sys.stdout.write(f"{SNAPSHOT}: {len(SNAPSHOT.read_text().splitlines())} lines\n")

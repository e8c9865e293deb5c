"""Files as an accident or an enemy leaves them: seeded, so that what broke once can be had again."""

from __future__ import annotations

import json
from random import Random
from typing import Any

__all__ = ["ODD", "bytes_changed", "json_changed", "text_changed"]

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 2**31, 2**63, -(2**63), 10**12, 10**30, 0.5, -0.0, 1e308),
    *("", "1", "vq16", "os.system", "../../up", "x" * 5000, "\0", "\ud800", "__class__", "none"),
    *([], [[]], {}, {"type": "ImageTokenizer"}, [1, 2], [None] * 50, {"": {}}),
]


def bytes_changed(content: bytes, draw: Random) -> bytes:
    """One to three faults: cut, flipped bits, overwritten, doubled, inserted, or a number in the header made huge."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        place = (
            draw.randrange(len(data) + 1) if draw.random() < 0.5 else draw.randrange(min(len(data), 512) + 1)
        )
        fault = draw.choice([cut, flip, overwrite, double, insert, enlarge])
        data = bytearray(fault(data, place, draw))
    return bytes(data)


def cut(data: bytearray, place: int, draw: Random) -> bytes:
    return bytes(data[:place])


def flip(data: bytearray, place: int, draw: Random) -> bytes:
    for at in (place, *(draw.randrange(len(data) + 1) for _ in range(draw.choice([0, 0, 5])))):
        if at < len(data):
            data[at] ^= 1 << draw.randrange(8)
    return bytes(data)


def overwrite(data: bytearray, place: int, draw: Random) -> bytes:
    end = min(len(data), place + draw.randrange(1, 16))
    data[place:end] = bytes(draw.choice([0, 255, draw.randrange(256)]) for _ in range(end - place))
    return bytes(data)


def double(data: bytearray, place: int, draw: Random) -> bytes:
    return bytes(data[:place] + data[draw.randrange(place + 1) :])


def insert(data: bytearray, place: int, draw: Random) -> bytes:
    return bytes(data[:place] + draw.randbytes(draw.randrange(1, 40)) + data[place:])


def enlarge(data: bytearray, place: int, draw: Random) -> bytes:
    place = draw.choice([0, place])
    number = draw.choice([2**16 - 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1])
    data[place : place + 8] = number.to_bytes(8, draw.choice(["little", "big"]))
    return bytes(data)


def json_changed(values: dict[str, Any], draw: Random) -> str:
    """JSON with a value replaced, dropped or added; now and then no JSON at all."""
    changed = json.loads(json.dumps(values))
    for _ in range(draw.randint(1, 2)):
        key = draw.choice([*changed, "surprise"]) if changed else "surprise"
        if draw.random() < 0.2:
            changed.pop(key, None)
        elif isinstance(changed.get(key), str) and draw.random() < 0.5:
            changed[key] = text_changed(changed[key], draw)
        else:
            changed[key] = draw.choice(ODD)
    text = json.dumps(changed)
    if draw.random() < 0.1:
        text = draw.choice(
            ["", "[]", "null", "3", "{", "[" * 100_000, '{"a":' * 50_000, "NaN", text[: len(text) // 2]]
        )
    return text


def text_changed(text: str, draw: Random) -> str:
    """A spec or a name with a few characters changed, a number made large, or a piece doubled."""
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(text) + 1)
        text = draw.choice(
            [
                text[:place] + draw.choice("()x|,=-.019azé\0 ") + text[place + 1 :],
                text[:place]
                + draw.choice(["0", "999999999999", "x" * 40, "(" * 200, "9" * 6000])
                + text[place:],
                text[:place] + text[draw.randrange(place + 1) :],
                text[:place] + text[place + 1 :],
                text[:place],
            ]
        )
    return text

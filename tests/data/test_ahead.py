"""Files are read ahead of their turn, in order, and only a few of them."""

from __future__ import annotations

import threading

import pytest

from codeword.workbench.data.ahead import MOST, read_ahead

NAMES = [str(number) for number in range(100)]


def test_others_are_read_while_one_is_worked_on_but_not_all() -> None:
    ahead, started = threading.Event(), list[str]()

    def read(name: str) -> str:
        started.append(name)
        if name == NAMES[-60]:
            raise AssertionError("nobody has asked for it yet")
        if name == "3":
            ahead.set()
        return name

    items = read_ahead(read, NAMES)
    assert next(items) == ("0", "0")
    assert ahead.wait(30)  # while nobody asks for the next one
    items.close()
    assert len(started) <= 3 * MOST + 1


def test_order_stays() -> None:
    assert list(read_ahead(lambda name: name * 2, NAMES)) == [(name, name * 2) for name in NAMES]


def test_an_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda name: 1 // int(name), NAMES))


def test_few_are_read_without_threads() -> None:
    before = threading.active_count()
    assert [item for _, item in read_ahead(lambda _: threading.active_count(), NAMES[:1])] == [before]

"""Run every benchmark and print the tables: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import classes, memory, search, small_batches, train_step

for question in (search, train_step, small_batches, classes, memory):
    question.main()

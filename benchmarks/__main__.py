"""Run every benchmark and print the tables: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import batches, classes, memory, search, train_step

for question in (search, train_step, batches, classes, memory):
    question.main()

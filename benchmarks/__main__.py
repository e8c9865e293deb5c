"""Run every benchmark and print the tables: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import batches, classes, clustering, memory, search, train_step

for question in (search, clustering, train_step, batches, classes, memory):
    question.main()

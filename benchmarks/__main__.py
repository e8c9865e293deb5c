"""Run every benchmark and print the tables: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import bfloat16, memory, search, train_step

for question in (search, bfloat16, train_step, memory):
    question.main()

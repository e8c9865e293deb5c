"""The pictures of the documentation: `make figures`, or `python -m benchmarks.figures` with the names of some."""

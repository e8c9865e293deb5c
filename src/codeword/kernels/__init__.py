"""The operators that decide the speed of the library: nearest-code search and segment sums."""

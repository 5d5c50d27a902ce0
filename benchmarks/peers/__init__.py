"""mainstem beside the tools people use for the same: time and memory of the same work on the same weights.

`python -m benchmarks.peers` (or `make bench`) runs every tool in the environment that can hold it and writes the table.
"""

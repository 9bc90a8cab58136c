"""Benches: `make bench NAME=ingest|idle|infer|search|queue|similar [ARGS=--quick]`.

Each module starts the real programs on a folder of its own, prints a table and writes
target/bench/NAME.json. What they share is in `rig`.
"""

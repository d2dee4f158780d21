"""Benchmarks: `make bench` runs all, `make bench ONLY=name` one.

Each module beside this one registers one function with `scripts.bench.registry.benchmark`. Nothing here is a test.
"""

"""Speeds, as ratios against a baseline measured in the same run; results are kept in docs/benchmarks.md."""

"""Benchmarks: what silk-sfm costs, each figure beside its baseline in the same run."""

"""Exact similarity reductions in tiles; torch only."""

"""Stages: one function each, from files to files."""

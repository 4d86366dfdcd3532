"""A made-up scene with known cameras, for the demo and the tests."""

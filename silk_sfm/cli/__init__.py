"""The command line: thin shells over the stages."""

from silk_sfm.cli.main import main

__all__ = ["main"]

"""`silk-sfm` inside the test's own process."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from silk_sfm.cli import main


@dataclass(frozen=True)
class Outcome:
    """Exit status, stdout, stderr."""

    status: int
    out: str
    err: str


def silk_sfm(*argv: object) -> Outcome:
    """Run `silk-sfm ARGV` and keep what it prints."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in argv])
    return Outcome(status, out.getvalue(), err.getvalue())

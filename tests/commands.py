"""Running `silk-sfm` in real processes, from a server that has the libraries loaded already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = [f"silk_sfm.cli.{name}" for name in ("extract", "match", "verify", "reconstruct")]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*PRELOADED, "silk_sfm.extractors.silk"])


def start(argv: list[str], log: Path | None = None, flush_seconds: float = 3.0) -> BaseProcess:
    """Start `silk-sfm ARGV` as a process of its own; its output goes to `log`."""
    target = os.devnull if log is None else str(log)
    process = _context.Process(target=_run, args=(argv, target, flush_seconds))
    process.start()
    return process


def finish(argv: list[str], log: Path | None = None) -> int | None:
    """Run `silk-sfm ARGV` to its end in a process of its own; returns the exit status."""
    process = start(argv, log)
    process.join()
    return process.exitcode


def _run(argv: list[str], log: str, flush_seconds: float) -> None:
    import torch

    from silk_sfm.cli import main
    from silk_sfm.store import shards

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    shards.FLUSH_SECONDS = flush_seconds
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    os.dup2(output, sys.__stderr__.fileno() if sys.__stderr__ else 2)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    status = main(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

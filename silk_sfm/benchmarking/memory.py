"""Memory that a piece of work takes above its inputs, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from silk_sfm.benchmarking.figures import Number
from silk_sfm.stages.report import peak_memory_mb, reset_peak


def peak_above_inputs_mb(
    inputs: Callable[[], tuple[Any, ...]], work: Callable[..., object]
) -> Number:
    """MB of resident memory at the worst moment of `work(*inputs())`, beyond what is there before.

    Both are functions of a module or `partial`s of one: they are sent to a new process. Its first
    call counts, with what libraries set up in it.
    """

    def once() -> float:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            return pool.submit(partial(_peak_above_inputs, inputs, work)).result()

    return once


def _peak_above_inputs(inputs: Callable[[], tuple[Any, ...]], work: Callable[..., object]) -> float:
    made = inputs()
    reset_peak()
    before = peak_memory_mb()
    work(*made)
    return peak_memory_mb() - before

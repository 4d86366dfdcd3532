"""Blocks on a Ray cluster. The only importer of Ray: https://docs.ray.io."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from silk_sfm.errors import ClusterError, ConfigError, SilkSfmError
from silk_sfm.scaling.worker import Assignment, Finished, Worker

CONNECT_SECONDS = 5.0
NOT_PLACES = ("", "auto", "local")
"""What Ray takes for an address beside one: any cluster here, a running one, a new one."""
FOREVER = -1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slots:
    """Room for workers: how many, what each takes, and where it keeps tensors."""

    n_workers: int
    n_cpus: int
    n_gpus: int
    device: str


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be part of a cluster; one that this process is part of already is kept.

    Raises ClusterError when it cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address not in NOT_PLACES:
        _check_reachable(address)
    verbose = log.isEnabledFor(logging.DEBUG)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is started here
    try:
        ray.init(
            address or None,
            log_to_driver=verbose,
            logging_level=logging.INFO if verbose else logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"Cannot use the Ray cluster {address or 'here'}: {error}. The versions of Python and "
            "Ray must be the same on all nodes, and so must RAY_AUTH_MODE and its token."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes and then ends the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No Ray cluster at `{address}` ({error}). Give HOST:PORT of its head node, as "
            "`ray start --head` prints it, and run this on a node of the cluster."
        ) from error


def slots(device: str, n_cpus: int) -> Slots:
    """The workers that fit on the nodes: one a GPU, if there are any and `device` allows, else one
    for `n_cpus` cores.

    Raises ConfigError when no node is large enough.
    """
    listed: Any = ray.nodes
    nodes = [node["Resources"] for node in listed() if node["Alive"]]
    on_cpus = [int(node.get("CPU", 0) // n_cpus) for node in nodes]
    on_gpus = [
        min(int(node.get("GPU", 0)), fitting) for node, fitting in zip(nodes, on_cpus, strict=True)
    ]
    n_gpus, n_fitting = sum(on_gpus), sum(on_cpus)
    if device.startswith("cuda") or (device == "auto" and n_gpus):
        if not n_gpus:
            raise ConfigError(f"No node of the Ray cluster has a GPU and {n_cpus} cores beside it.")
        return Slots(n_gpus, n_cpus, 1, "cuda")  # Ray shows a worker no GPU but its own
    if not n_fitting:
        raise ConfigError(f"No node of the Ray cluster has {n_cpus} cores for a worker.")
    return Slots(n_fitting, n_cpus, 0, "cpu" if device == "auto" else device)


def run_blocks(
    assignment: Assignment, blocks: Sequence[Sequence[Any]], room: Slots
) -> Iterator[tuple[int, Finished]]:
    """Each block's number and what it came to, as they are finished.

    Ray places the workers, starts one that was lost again wherever there is room, and gives it its
    block again. A worker with nothing left to do makes that room. Raises what a block raised.
    """
    kind: Any = ray.remote(Worker)
    options = {"num_cpus": room.n_cpus, "num_gpus": room.n_gpus}
    again = {"max_restarts": FOREVER, "max_task_retries": FOREVER}
    waiting = deque(enumerate(blocks))
    busy: dict[Any, tuple[int, Any]] = {}

    def occupy(actor: Any) -> None:
        number, items = waiting.popleft()
        busy[actor.run.remote(number, items)] = number, actor

    for _ in range(min(room.n_workers, len(blocks))):
        occupy(kind.options(**options, **again).remote(assignment))
    while busy:  # Ray ends a worker that nothing here knows any more, after an error too
        (ready, *_), _ = ray.wait(list(busy))
        number, actor = busy.pop(ready)
        if waiting:
            occupy(actor)
        else:
            ray.kill(actor)
        yield number, _result(ready)


def _result(ready: Any) -> Finished:
    """Raises what the worker says it could not do, and ClusterError when it is lost for good."""
    try:
        result: Finished | SilkSfmError = ray.get(ready)
    except RayTaskError:
        raise  # a fault of the program, with its traceback
    except RayError as error:
        first = str(error).partition("\n")[0]
        raise ClusterError(f"A worker of the Ray cluster was lost: {first}") from error
    if isinstance(result, SilkSfmError):
        raise result
    return result

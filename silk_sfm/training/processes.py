"""One process, or several that train together as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Process:
    """A process among those that train together.

    rank: its number, 0 for the one that saves and logs
    count: how many there are
    local: its number on this machine
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Does it save and log?"""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process: `cuda` is the GPU of its number."""
        return f"cuda:{self.local}" if name == "cuda" and self.count > 1 else name

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def any_of(self, here: bool) -> bool:
        """Is it so in any process? All of them must ask."""
        if self.count == 1:
            return here
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        said = torch.tensor(float(here), device=device)
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return bool(said > 0)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of each value over all processes. All of them must ask."""
        if self.count == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.count

    def align(self, network: nn.Module) -> None:
        """Give the network the batch statistics of the first process. All of them must ask."""
        if self.count > 1:
            for statistics in network.buffers():
                distributed.broadcast(statistics, 0)

    def shared(self, network: nn.Module) -> nn.Module:
        """The network, with gradients averaged over all processes."""
        if self.count == 1:
            return network
        device = next(network.parameters()).device
        return DistributedDataParallel(network, None if device.type == "cpu" else [device])


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """Join the processes that torchrun started; alone without it.

    device: what `resolve_device` gives; `cuda`: each process on the GPU of its number
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Process()
        return
    local = int(os.environ["LOCAL_RANK"])
    if device == "cuda":
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    process = Process(distributed.get_rank(), count, local)
    try:
        yield process
        process.wait()  # who leaves while others still talk to it takes them down
    finally:
        distributed.destroy_process_group()

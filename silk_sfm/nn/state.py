"""Named tensors of a weights file, and a network that takes exactly those."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from silk_sfm.nn.checkpoint import read_checkpoint, refuse
from silk_sfm.nn.legacy_checkpoint import MAGIC, read_legacy_checkpoint

Tensors = Mapping[str, Tensor]


def read_state(path: Path, part: str = "state_dict") -> dict[str, Tensor]:
    """The tensors of a file, by the names in it: safetensors, or a PyTorch checkpoint.

    The content decides, not the suffix. Of a checkpoint that has an entry `part` it is this one. No
    code in the file is run. Raises WeightsError, one line that names the file, for anything else.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start.startswith(b"PK\x03\x04"):
        return _tensors_of(path, read_checkpoint(path), part)
    if start != MAGIC:
        refuse(path, "a zip checkpoint or a safetensors file", _describe(start[:9]))
    return _tensors_of(path, read_legacy_checkpoint(path), part)


def is_safetensors(path: Path) -> bool:
    """Does the file start as a safetensors file does?"""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def file_digest(path: Path) -> str:
    """SHA-256 of a weights file, in hexadecimal: it names the weights in a store."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(network: nn.Module, tensors: Tensors, path: Path, what: str) -> None:
    """Give a network its tensors: all of them, no others, of the same shapes.

    Raises WeightsError, one line that names the file and `what` it should hold.
    """
    expected = network.state_dict()
    wanted = f"the tensors of {what}"
    if missing := [name for name in expected if name not in tensors]:
        refuse(path, wanted, f"{len(missing)} missing, the first is {missing[0]}")
    if extra := [name for name in tensors if name not in expected]:
        refuse(path, wanted, f"{len(extra)} unknown, the first is {extra[0]}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            found = f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
            refuse(path, wanted, found)
    network.load_state_dict(dict(tensors))
    _lay_channels_last(network)


def _lay_channels_last(network: nn.Module) -> None:
    """Store the convolutions' weights channels last, and maps follow: a third faster on a CPU."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _describe(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start[0] == 0x80:
        return "a bare pickle, which is never read because it may run code"
    return f"a file that starts with {start!r}"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        refuse(path, "a safetensors file", f"{type(error).__name__}: {error}")


def _tensors_of(path: Path, loaded: dict[object, object], part: str) -> dict[str, Tensor]:
    state = loaded.get(part, loaded)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        refuse(path, f"a `{part}` of named tensors", f"the keys {list(loaded)[:5]}")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}

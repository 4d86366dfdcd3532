"""Where tensors live: the names `--device` takes."""

from __future__ import annotations

import re

import torch

from silk_sfm.errors import ConfigError


def resolve_device(name: str) -> str:
    """The torch device behind `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    auto: CUDA, else Apple's MPS, else the CPU. Raises ConfigError when the device is not there.
    """
    if name == "auto":
        return _best_device()
    if not re.fullmatch(r"cpu|cuda(:\d+)?|mps", name):
        raise ConfigError(f"Unknown device `{name}`. Known: auto, cpu, cuda, cuda:1 (...), mps.")
    index = int(name.partition(":")[2] or 0)
    if name.startswith("cuda") and index >= torch.cuda.device_count():
        raise ConfigError(
            f"No device `{name}`: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA "
            "devices here. Use --device cpu, or install a CUDA build of torch."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("No device `mps` on this machine. Use --device cpu.")
    return name


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

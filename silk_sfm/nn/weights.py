"""Loading and saving SiLK weights: published checkpoints and our own safetensors files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from silk_sfm.files import whole_file
from silk_sfm.nn.architecture import ARCHITECTURES, Architecture, architecture_name
from silk_sfm.nn.checkpoint import refuse
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.state import file_digest, is_safetensors, load_state, read_state

FORMAT = "silk-sfm weights 1"

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class WeightsCard:
    """What a weights file of ours says about itself, besides the architecture.

    training_padding: padding of the 3x3 convolutions in training (the weights work with both)
    licence: SPDX name
    training: one line about data, length and losses
    """

    training_padding: int
    licence: str
    training: str


def load_silk(source: str | Path, padding: int = 0) -> SilkNetwork:
    """The network of a weights name or file, in eval mode on the CPU.

    source: `silk`, a name of `published.PUBLISHED`, or a path to a .ckpt (Lightning or bare) or
    .safetensors file; the content decides, not the suffix. The architecture is recognised from the
    shapes; the length of the descriptors is the stored one. Raises WeightsError, one line that
    names the file, when it is anything else. No code of the file is run.
    """
    path = find_weights(source)
    tensors = read_tensors(path)
    network = SilkNetwork(recognise(path, tensors), padding)
    load_state(network, tensors, path, architecture_name(network.architecture))
    return network.eval()


def save_silk(network: SilkNetwork, path: Path, card: WeightsCard) -> None:
    """Write a .safetensors file, complete or absent: the network's state and its card."""
    metadata = {
        "architecture": architecture_name(network.architecture),
        "training_padding": str(card.training_padding),
        "descriptor_scale": f"{network.descriptor_scale.item():.9g}",
        "licence": card.licence,
        "training": card.training,
    }
    write_weights(network, path, metadata)


def write_weights(network: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file, complete or absent: the state of any network, and metadata."""
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = _with_sorted_header(save(state, {"format": FORMAT, **metadata}))
    with whole_file(path) as part:
        part.write_bytes(content)


def _with_sorted_header(content: bytes) -> bytes:
    """The same safetensors file with its header in one order: same weights, same digest."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return len(header).to_bytes(8, "little") + header + content[start:]


def read_metadata(path: Path) -> dict[str, str]:
    """What `save_silk` wrote beside the tensors."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        refuse(path, "a safetensors file", f"{type(error).__name__}: {error}")


def weights_digest(source: str | Path) -> str:
    """SHA-256 of a weights file, in hexadecimal."""
    return file_digest(find_weights(source))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by our names, of whichever format it is."""
    if is_safetensors(path):
        return read_state(path)
    state = read_state(path)
    return {clean_name(name): value for name, value in state.items() if name not in IGNORED_KEYS}


IGNORED_KEYS = frozenset({"_mods.ghost_similarity.ghost_sim"})
"""Belongs to the training loss."""

_PUBLISHED_PARTS = (
    (r"^_mods\.model\.", ""),
    (r"^descriptor_scale_factor$", "descriptor_scale"),
    (r"^backbone\._backbone\.(layers\.)?", "stages."),
    (r"^stages\.l([1-9])\.", lambda found: f"stages.{int(found[1]) - 1}."),
    (r"^(stages\.\d+\.\d+)\.0\.", r"\1.convolution."),
    (r"^(stages\.\d+\.\d+)\.2\.", r"\1.norm."),
    (r"^backbone\._heads\._mods\.logits\._detH", "detector."),
    (r"^backbone\._heads\._mods\.raw_descriptors\._desH", "descriptor."),
    (r"^(detector|descriptor)\.1\.0\.", r"\1.block.convolution."),
    (r"^(detector|descriptor)\.1\.2\.", r"\1.block.norm."),
    (r"^(detector|descriptor)\.2\.0\.", r"\1.projection."),
    (r"^(detector|descriptor)\.2\.1\.", r"\1.norm."),
)


def clean_name(published_name: str) -> str:
    """Our name of a published key.

    `_mods.model.backbone._backbone.layers.0.1.2.bias` becomes `stages.0.1.norm.bias`.
    """
    name = published_name
    for pattern, replacement in _PUBLISHED_PARTS:
        name = re.sub(pattern, replacement, name)
    return name


def recognise(path: Path, tensors: Tensors) -> Architecture:
    """The architecture whose layers have the shapes of `tensors`; `path` is for the error.

    Descriptors may have another size than the published one.
    """
    try:
        found = _architecture_of(tensors)
    except (KeyError, IndexError) as error:
        expected = f"a SiLK network ({', '.join(ARCHITECTURES)})"
        refuse(path, expected, f"no {error.args[0]!r} among its {len(tensors)} tensors")
    if found.without_size not in [known.without_size for known in ARCHITECTURES.values()]:
        refuse(path, f"one of {', '.join(ARCHITECTURES)}", str(found))
    return found


def _architecture_of(tensors: Tensors) -> Architecture:
    numbers = {name.split(".")[1] for name in tensors if name.startswith("stages.")}
    stages = [f"stages.{stage}.0.convolution.weight" for stage in range(max(1, len(numbers)))]
    return Architecture(
        tuple(tensors[name].shape[0] for name in stages),
        tensors["detector.block.convolution.weight"].shape[0],
        tensors["descriptor.block.convolution.weight"].shape[0],
        tensors["descriptor.projection.weight"].shape[0],
    )

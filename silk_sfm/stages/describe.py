"""What is in a file or folder: a store, a model, weights or photos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from silk_sfm.colmap.model import read_model, summarise
from silk_sfm.errors import SilkSfmError, StoreError
from silk_sfm.images import ImageFolder, image_size
from silk_sfm.nn.architecture import architecture_name
from silk_sfm.nn.state import read_state
from silk_sfm.nn.weights import load_silk, read_metadata
from silk_sfm.store import FeatureStore, MatchStore, Provenance, VerifiedStore, store_kind

WEIGHTS = {".safetensors", ".ckpt"}


def describe(path: Path) -> list[str]:
    """Lines that say what `path` holds. Raises SilkSfmError when it is nothing known or damaged."""
    if not path.exists():
        raise StoreError(f"There is nothing at {path}.")
    if path.is_dir():
        is_model = any((path / f"cameras{suffix}").exists() for suffix in (".bin", ".txt"))
        return _describe_model(path) if is_model else _describe_photos(path)
    if path.suffix in WEIGHTS:
        return _describe_weights(path)
    readers = {
        "features": _describe_features,
        "matches": _describe_matches,
        "verified": _describe_verified,
    }
    return readers[store_kind(path)](path)


def _describe_photos(path: Path) -> list[str]:
    images = ImageFolder.open(path)
    sizes: Counter[tuple[int, int]] = Counter()
    broken = []
    for name in images.names:
        try:
            sizes[image_size(images.path(name))] += 1
        except SilkSfmError as error:
            broken.append(f"  {error}")
    listed = ", ".join(f"{n} of {w} x {h} px" for (w, h), n in sizes.most_common())
    return [f"{path}: {len(images.names)} images: {listed}", *broken]


def _describe_model(path: Path) -> list[str]:
    model = read_model(path)
    numbers = summarise(model)
    cameras = Counter(f"{c.model} {c.width} x {c.height}" for c in set(model.cameras.values()))
    return [
        f"{path}: COLMAP model, {numbers.n_images} registered images, {numbers.n_points} points",
        f"  track length {numbers.track_length:.2f}, reprojection error "
        f"{numbers.reprojection_error:.2f} px, {numbers.n_observations} observations",
        f"  cameras: {', '.join(f'{n} {kind}' for kind, n in cameras.items())}",
    ]


def _describe_weights(path: Path) -> list[str]:
    card = read_metadata(path) if path.suffix == ".safetensors" else {}
    told = [f"  {key}: {value}" for key, value in sorted(card.items())]
    if "method" in card:
        n_values = sum(tensor.numel() for tensor in read_state(path).values())
        return [f"{path}: weights of {card['method']}, {n_values} values", *told]
    network = load_silk(str(path))
    return [
        f"{path}: SiLK weights, {architecture_name(network.architecture)}, "
        f"{sum(weight.numel() for weight in network.parameters())} parameters",
        f"  descriptors of {network.architecture.descriptor_size} dimensions",
        *told,
    ]


def _describe_features(path: Path) -> list[str]:
    with FeatureStore(path) as store:
        counts = [store.count(name) for name in store.names]
        size = store.descriptor_size
        return [
            f"{path}: features of {len(store)} images, {_spread(counts)} keypoints, "
            f"descriptors of {size} dimensions",
            *_made(store.provenance),
        ]


def _describe_matches(path: Path) -> list[str]:
    with MatchStore(path) as store:
        counts = [len(matches) for matches in store.values()]
        return [
            f"{path}: matches of {len(counts)} pairs, {_spread(counts)} matches",
            *_made(store.provenance),
        ]


def _describe_verified(path: Path) -> list[str]:
    with VerifiedStore(path) as store:
        geometries = list(store.values())
        counts = [len(geometry.inliers) for geometry in geometries if len(geometry.inliers)]
        kinds = Counter(geometry.kind for geometry in geometries if len(geometry.inliers))
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none"
        return [
            f"{path}: {len(counts)} of {len(geometries)} pairs verified, {_spread(counts)} inliers",
            f"  geometry: {listed}",
            *_made(store.provenance),
        ]


def _spread(counts: list[int]) -> str:
    if not counts:
        return "0"
    return f"{min(counts)} to {max(counts)} (median {np.median(counts):.0f})"


def _made(provenance: Provenance | None) -> list[str]:
    if provenance is None:
        return ["  made by another program"]
    options = ", ".join(f"{key} {value}" for key, value in provenance.options.items())
    inputs = ", ".join(f"{key} {value}" for key, value in provenance.inputs.items())
    return [f"  made by {provenance.plugin}: {options}"] + ([f"  from {inputs}"] if inputs else [])

import json
from typing import Any

import numpy as np
import pytest
from shared_data import shared

from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.coordinates import Layer, LinearMapping, Upsampling, compose

Chain = list[Layer | Upsampling]
POOL = Layer(2, stride=2)


def vgg(n_stages: int, padding: int, pool: bool) -> Chain:
    """Backbone with a pooling between the stages; the published pooled variant."""
    stage: Chain = [Layer(3, padding=padding)] * 2
    layers = list(stage)
    for _ in range(n_stages - 1):
        layers += [*([POOL] if pool else []), *stage]
    return layers


def unet(padding: int) -> Chain:
    """Along the coarsest path, to which the decoder crops all others."""
    double: Chain = [Layer(3, padding=padding)] * 2
    down: Chain = [POOL, *double]
    up: Chain = [Upsampling(2), *double]
    return [*double, *down * 4, *up * 4]


def resnet_fpn(padding: int, stride: int) -> dict[str, Chain]:
    """The finest output goes through the first residual stage, the coarse one through all three."""
    first = Layer(7, stride=stride, padding=3 * padding)
    plain = Layer(3, padding=padding)
    halving = Layer(3, stride=2, padding=padding)
    start: Chain = [first, *[plain] * 4]
    stage: Chain = [halving, *[plain] * 3]
    return {"features": [*start, plain, plain], "low_res_features": [*start, *stage, *stage]}


def chains(name: str) -> dict[str, Chain]:
    """The layers up to each recorded output of a recorded network."""
    network, padding_text, *variant = name.split("/")
    padding = int(padding_text.removeprefix("pad"))
    if network.startswith("silk-loftr"):
        found = resnet_fpn(padding, stride=1 if variant[0].endswith("True") else 2)
    elif "unet" in network:
        found = {"features": unet(padding)}
    else:
        known = ARCHITECTURES["pvgg-4" if "VGG-4" in network else network]
        found = {"features": vgg(len(known.stage_channels), padding, variant == ["maxpool"])}
    head = [*found["features"], Layer(3, padding=padding), Layer(1)]
    return {**found, "logits": head, "raw_descriptors": head}


def recorded() -> dict[str, Any]:
    text = shared("reference", "coordinate_mappings.json").read_text()
    return dict(json.loads(text))


def test_every_recorded_mapping_follows_from_its_layers() -> None:
    # Nothing is left out: U-Net and ResNet-FPN join paths, but all recorded mappings are those of
    # one path (the coarsest of the U-Net, the finest of the feature pyramid).
    data = recorded()
    points = np.array(data.pop("_sample_points"))
    compared = 0
    for name, outputs in data.items():
        for output, layers in chains(name).items():
            mapping, expected = compose(layers), outputs[output]
            assert [mapping.scale] * 2 == pytest.approx(expected["scale"]), (name, output)
            assert [mapping.bias] * 2 == pytest.approx(expected["bias"]), (name, output)
            close(mapping.to_feature(points), expected["apply"])
            close(mapping.to_image(points), expected["reverse"])
            compared += 1
    mappings = [entry for outputs in data.values() for entry in outputs.values()]
    assert compared == sum(isinstance(entry, dict) for entry in mappings) == 28 * 3 + 4


def close(found: np.ndarray, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_known_offsets() -> None:
    biases = {name: known.output_mapping(0).bias for name, known in ARCHITECTURES.items()}
    assert biases == {"pvgg-4": -9, "pvgg-3": -7, "pvgg-2": -5, "pvgg-1": -3, "pvgg-micro": -3}
    assert all(known.output_mapping(1) == LinearMapping() for known in ARCHITECTURES.values())
    assert ARCHITECTURES["pvgg-4"].feature_mapping(0).bias == -8


def test_stride_by_hand() -> None:
    # cells of a 2x2 pooling are centred between their pixels: 0.5 -> (0.5 + 1.5) / 2
    assert POOL.mapping.to_image(np.array([[0.5, 1.5]])) == pytest.approx(np.array([[1.0, 3.0]]))


def test_no_layer_changes_nothing() -> None:
    assert compose([]) == LinearMapping(1.0, 0.0)
    assert compose([]).to_image(np.zeros((0, 2))).shape == (0, 2)

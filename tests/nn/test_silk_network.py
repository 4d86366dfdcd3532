import json
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from shared_data import shared
from torch import Tensor, nn

from silk_sfm.nn.architecture import ARCHITECTURES, Architecture, architecture_name
from silk_sfm.nn.detection import DetectionOptions
from silk_sfm.nn.silk import OUTPUT_NAMES, SilkNetwork, SilkOutputs
from silk_sfm.nn.weights import load_silk

MAP_ATOL = 2e-5
DESCRIPTOR_ATOL = 1e-5
TOP_51 = DetectionOptions(nms_radius=0, top_k=51, refine=False)  # the original's top-k of 50
TOP_51_APART = DetectionOptions(nms_radius=4, border=4, top_k=51, refine=False)
CASES = [(name, padding) for name in ARCHITECTURES for padding in (0, 1)]


@cache
def recorded(file: str) -> dict[str, np.ndarray]:
    return dict(np.load(shared("reference", file)))


def recorded_outputs(name: str, case: str) -> dict[str, np.ndarray]:
    prefix = f"{case}/"
    arrays = recorded(f"network_{name}.npz").items()
    return {key.removeprefix(prefix): array for key, array in arrays if key.startswith(prefix)}


def image_of(letter: str) -> Tensor:
    return torch.from_numpy(recorded("network_inputs.npz")[letter])


def look(name: str, padding: int, letter: str, detection: DetectionOptions) -> SilkOutputs:
    network = load_silk(shared("reference", "checkpoints", f"{name}.ckpt"), padding)
    return network.look(image_of(letter), detection)


def small(seed: int = 0, padding: int = 0) -> SilkNetwork:
    """An untrained network with normalisations that do something."""
    torch.manual_seed(seed)
    network = SilkNetwork(Architecture((6, 8), 5, 7, 9), padding).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for statistics in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                assert statistics is not None
                nn.init.uniform_(statistics, 0.5, 1.5)
    return network


# ---------- recorded behaviour of the original ----------


@pytest.mark.parametrize("letter", ["A", "B", "C"])
@pytest.mark.parametrize(("name", "padding"), CASES)
@torch.inference_mode()
def test_recorded_maps(name: str, padding: int, letter: str) -> None:
    expected = recorded_outputs(name, f"pad{padding}/{letter}")
    found = look(name, padding, letter, TOP_51)
    maps = [found.features, found.logits, found.raw_descriptors]
    assert [list(each.shape[1:]) for each in maps] == expected["shapes"][:, 1:].tolist()
    close(found.logits, expected["logits"], MAP_ATOL)
    rows, columns = expected["sample_yx"].T.astype(int)
    for part in ("features", "raw_descriptors"):
        tensor: Tensor = getattr(found, part)
        sample = tensor[:, :, rows, columns].transpose(1, 2)
        close(sample, expected[f"{part}_sample"], MAP_ATOL)
        close(tensor.mean((2, 3)), expected[f"{part}_channel_mean"], MAP_ATOL)
        close(tensor.flatten(2).std(2), expected[f"{part}_channel_std"], MAP_ATOL)
    cells = (rows * found.logits.shape[3] + columns)[:6]
    dense = found.dense_descriptors[:, cells]
    close(dense, expected["dense_descriptors_sample"], DESCRIPTOR_ATOL)


@pytest.mark.parametrize("letter", ["A", "B", "C"])
@pytest.mark.parametrize(("name", "padding"), CASES)
@torch.inference_mode()
def test_recorded_sparse_outputs(name: str, padding: int, letter: str) -> None:
    expected = recorded_outputs(name, f"pad{padding}/{letter}")
    found = look(name, padding, letter, TOP_51)
    offset = ARCHITECTURES[name].reach if padding == 0 else 0
    for i, (positions, descriptors) in enumerate(
        zip(found.sparse_positions, found.sparse_descriptors, strict=True)
    ):
        same_cells(positions, expected[f"sparse_positions_{i}"])
        close(descriptors, expected[f"sparse_descriptors_{i}"], DESCRIPTOR_ATOL)
        in_image = positions + torch.tensor([offset, offset, 0])
        same_cells(in_image, expected[f"sparse_positions_image_{i}"])
    apart = look(name, padding, letter, TOP_51_APART).sparse_positions
    for i, positions in enumerate(apart):
        same_cells(positions, expected[f"sparse_positions_nms4_border4_{i}"])


@torch.inference_mode()
def test_recorded_dense_outputs() -> None:
    for name, padding in CASES:
        expected = recorded_outputs(name, f"pad{padding}/B")
        found = look(name, padding, "B", TOP_51)
        close(found.probability, expected["probability"], MAP_ATOL)
        close(found.dense_positions, expected["dense_positions"], MAP_ATOL)
    expected = recorded_outputs("pvgg-micro", "pad0/B")
    found = look("pvgg-micro", 0, "B", TOP_51)
    close(found.features[:, :8], expected["features_full_first8channels"], MAP_ATOL)
    close(found.raw_descriptors, expected["raw_descriptors_full"], MAP_ATOL)
    close(found.dense_descriptors, expected["dense_descriptors_full"], DESCRIPTOR_ATOL)


@torch.inference_mode()
def test_recorded_checkpoint_with_configuration_objects() -> None:
    expected = recorded_outputs("pvgg-micro_listconfig", "pad0/B")
    found = look("pvgg-micro_listconfig", 0, "B", TOP_51)
    close(found.logits, expected["logits"], MAP_ATOL)
    same_cells(found.sparse_positions[0], expected["sparse_positions_0"])
    close(found.sparse_descriptors[0], expected["sparse_descriptors_0"], DESCRIPTOR_ATOL)


def test_recorded_parameter_counts() -> None:
    text = shared("reference", "checkpoint_loading.json").read_text()
    for name, facts in json.loads(text)["checkpoints"].items():
        parameters = SilkNetwork(ARCHITECTURES[name]).parameters()
        count = 1 + sum(map(torch.numel, parameters))  # the original counts the scale, too
        assert count == facts["n_parameters"]


def close(found: Tensor, expected: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(found.numpy(), expected, atol=atol, rtol=0)


def same_cells(found: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found[:, :2].numpy(), expected[:, :2])
    close(found[:, 2], expected[:, 2], MAP_ATOL)


# ---------- only what is asked for, once ----------


def count_calls(network: SilkNetwork) -> Counter[str]:
    calls: Counter[str] = Counter()

    def count(part: str) -> None:
        def hook(*_: Any) -> None:
            calls[part] += 1

        network.get_submodule(part).register_forward_hook(hook)

    for part in ("stages", "detector", "descriptor"):
        count(part)
    return calls


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), {}),
        (("features",), {"stages": 1}),
        (("logits", "probability"), {"stages": 1, "detector": 1}),
        (("dense_descriptors", "raw_descriptors"), {"stages": 1, "descriptor": 1}),
        (("sparse_positions",), {"stages": 1, "detector": 1}),
        (("sparse_descriptors", "sparse_positions"), {"stages": 1, "detector": 1, "descriptor": 1}),
        (("sparse_descriptors", "logits"), {"stages": 1, "detector": 1, "descriptor": 1}),
        (OUTPUT_NAMES, {"stages": 1, "detector": 1, "descriptor": 1}),
    ],
)
def test_computes_only_what_the_names_need(
    names: tuple[str, ...], expected: dict[str, int]
) -> None:
    network = small()
    calls = count_calls(network)
    found = network.outputs(torch.rand(2, 1, 40, 34), names, TOP_51)
    assert list(found) == list(names)
    assert calls == expected


def test_sparse_descriptors_are_those_of_the_dense_map() -> None:
    all_cells = DetectionOptions(nms_radius=0, top_k=10_000, refine=False)
    found = small().look(torch.rand(2, 1, 20, 20), all_cells)
    torch.testing.assert_close(torch.stack(found.sparse_descriptors), found.dense_descriptors)


def test_outputs_do_not_depend_on_what_else_is_asked_for() -> None:
    network, image = small(), torch.rand(2, 1, 30, 24)
    together = network.outputs(image, OUTPUT_NAMES, TOP_51_APART)
    for name in OUTPUT_NAMES:
        alone = network.outputs(image, (name,), TOP_51_APART)[name]
        torch.testing.assert_close(alone, together[name])


def test_unknown_output() -> None:
    with pytest.raises(ValueError) as error:
        small().outputs(torch.rand(1, 1, 20, 20), ("logits", "scores"))
    assert str(error.value) == (
        "No output 'scores'; there are features, logits, probability, raw_descriptors, "
        "dense_positions, dense_descriptors, sparse_positions, sparse_descriptors."
    )


def test_training_uses_the_statistics_of_the_whole_batch() -> None:
    network = small().train()
    look = network.look(torch.rand(2, 1, 30, 24), TOP_51)
    sparse, cells = look.sparse_descriptors[0], look.sparse_positions[0][:, :2].long()
    width = look.logits.shape[3]
    dense = look.dense_descriptors[0, cells[:, 0] * width + cells[:, 1]]
    torch.testing.assert_close(sparse, dense)
    sparse.sum().backward()  # type: ignore[no-untyped-call]


# ---------- geometry ----------


@pytest.mark.parametrize("padding", [0, 1])
@torch.inference_mode()
def test_an_output_sees_exactly_its_receptive_field(padding: int) -> None:
    network = small(padding=padding).double()
    reach, offset = network.architecture.reach, network.offset
    assert (reach, offset) == (5, 5 if padding == 0 else 0)
    image = torch.rand(1, 1, 31, 33, dtype=torch.float64)
    changed = image.clone()
    changed[0, 0, 14, 17] += 0.1
    differs = (network(changed)[1] != network(image)[1]).any(1)[0]  # (h, w)
    rows, columns = torch.nonzero(differs).T + offset
    assert (rows.min(), rows.max()) == (14 - reach, 14 + reach)
    assert (columns.min(), columns.max()) == (17 - reach, 17 + reach)


def test_refined_positions_stay_within_half_a_cell() -> None:
    network, image = small(), torch.rand(1, 1, 40, 40)
    whole = network.look(image, DetectionOptions(top_k=40, refine=False)).sparse_positions[0]
    fine = network.look(image, DetectionOptions(top_k=40)).sparse_positions[0]
    moved = (fine - whole)[:, :2].abs()
    assert 0.1 < moved.max() <= 0.5 and torch.equal(fine[:, 2], whole[:, 2])


def test_no_detection_gives_empty_outputs() -> None:
    off = DetectionOptions(top_k=0)
    found = small().look(torch.rand(2, 1, 20, 20), off)
    assert [each.shape for each in found.sparse_positions] == [(0, 3)] * 2
    assert [each.shape for each in found.sparse_descriptors] == [(0, 9)] * 2


def test_names_of_architectures() -> None:
    assert architecture_name(Architecture((64,), 32, 32, 32)) == "pvgg-micro"
    assert architecture_name(Architecture((64,))) == "custom"
    assert ARCHITECTURES["pvgg-4"].receptive_field == 19


def test_padding_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^padding must be 0 or 1, got 2\.$"):
        SilkNetwork(ARCHITECTURES["pvgg-1"], 2)

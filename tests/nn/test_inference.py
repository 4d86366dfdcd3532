import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch import nn

from silk_sfm.nn import folding, winograd
from silk_sfm.nn.architecture import ARCHITECTURES, Architecture
from silk_sfm.nn.folding import Convolution, are_few, fold
from silk_sfm.nn.inference import Arithmetic, DirectInference, Inference, inference_for
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import load_silk
from silk_sfm.nn.winograd import Phases, WinogradConvolution, WinogradInference


def network_of(padding: int, architecture: Architecture | None = None) -> SilkNetwork:
    """Untrained, with normalisations that do something, also negative scales and a dead channel."""
    torch.manual_seed(0)
    network = SilkNetwork(architecture or Architecture((6, 8), 5, 7, 9), padding).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, -1.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            layer.weight.data[0] = 0
    return network


def winograd_of(network: SilkNetwork) -> WinogradInference:
    return WinogradInference(network.architecture, network.offset, fold(network))


KINDS = {
    "winograd": (0, winograd_of),
    "direct": (0, DirectInference),
    "direct, padding 1": (1, DirectInference),
}


def check_equals_network(inference: Inference, network: SilkNetwork, image: torch.Tensor) -> None:
    logits, raw = network(image[None, None])
    features = inference.features(image)
    torch.testing.assert_close(inference.logits(features), logits[0, 0], atol=2e-5, rtol=1e-5)
    height, width = logits.shape[2:]
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    few, many = cells[:: len(cells) // 3 + 1], cells
    assert not are_few(len(many), height * width)
    for some in (few, many, cells[:0]):
        expected = raw[0, :, some[:, 0], some[:, 1]].T
        found = inference.raw_descriptors_at(features, *some.T)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


# ---------- equal to the network ----------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(11, 40), width=st.integers(11, 40), seed=st.integers(0, 9))
@torch.inference_mode()
def test_equals_the_network_at_any_size(kind: str, height: int, width: int, seed: int) -> None:
    padding, make = KINDS[kind]
    network = network_of(padding)
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(height, width, generator=generator)
    check_equals_network(make(network), network, image)  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_equals_the_network_for_every_architecture(kind: str, name: str) -> None:
    padding, make = KINDS[kind]
    network = network_of(padding, ARCHITECTURES[name])
    with torch.random.fork_rng():
        image = torch.rand(45, 38)
    check_equals_network(make(network), network, image)  # type: ignore[operator]


@torch.inference_mode()
def test_blocks_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "BLOCK_ROWS", 7)
    monkeypatch.setattr(winograd, "BLOCK_TILES", 3)
    monkeypatch.setattr(winograd, "LEAST_ROWS", 2)
    network = network_of(0)
    check_equals_network(winograd_of(network), network, torch.rand(50, 61))


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_descriptors_of_many_patches(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "PATCHES_AT_ONCE", 7)
    padding, make = KINDS[kind]
    network = network_of(padding)
    image = torch.rand(50, 61)
    _, raw = network(image[None, None])
    height, width = raw.shape[2:]
    cells = torch.randperm(height * width)[:100]
    assert are_few(len(cells), height * width)
    rows, columns = cells // width, cells % width
    inference = make(network)  # type: ignore[operator]
    found = inference.raw_descriptors_at(inference.features(image), rows, columns)
    torch.testing.assert_close(found, raw[0, :, rows, columns].T, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_descriptors_of_cells_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "ALONE_AT_ONCE", 3)
    padding, make = KINDS[kind]
    network, image = network_of(padding), torch.rand(30, 41)
    raw = network(image[None, None])[1][0]
    side = network.architecture.receptive_field
    first = network.architecture.reach - network.offset
    corners = torch.tensor([(0, 0), (5, 9), (30 - side, 41 - side), (2, 2)])
    patches = torch.stack([image[y : y + side, x : x + side] for y, x in corners.tolist()])
    found = make(network).raw_descriptors_of(patches)  # type: ignore[operator]
    expected = raw[:, corners[:, 0] + first, corners[:, 1] + first].T
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    assert make(network).raw_descriptors_of(patches[:0]).shape == (0, 9)  # type: ignore[operator]


@pytest.mark.parametrize("padding", [0, 1])
@torch.inference_mode()
def test_bfloat16_is_near(padding: int) -> None:
    network = load_silk("silk", padding)
    with torch.random.fork_rng():
        image = torch.rand(60, 70)
    inference = inference_for(network, "bfloat16")
    features = inference.features(image)
    assert isinstance(features, torch.Tensor) and features.dtype == torch.bfloat16
    logits = inference.logits(features)
    expected = network(image[None, None])[0][0, 0]
    assert logits.dtype == torch.float32
    assert 0 < (logits - expected).std() < 0.05 * expected.std()


@torch.inference_mode()
def test_equals_the_original_on_a_recorded_checkpoint() -> None:
    network = load_silk(shared("reference", "checkpoints", "pvgg-4.ckpt"))
    image = torch.rand(70, 90)
    check_equals_network(DirectInference(network), network, image)
    check_equals_network(winograd_of(network), network, image)


# ---------- the pieces ----------


@pytest.mark.parametrize(
    ("name", "padding", "arithmetic", "capability", "kernels"),
    [
        ("pvgg-4", 0, "float32", "AVX512", DirectInference),
        ("pvgg-4", 0, "float32", "AVX2", WinogradInference),
        ("pvgg-4", 0, "float32", "DEFAULT", WinogradInference),
        ("pvgg-4", 1, "float32", "AVX2", DirectInference),
        ("pvgg-4", 0, "bfloat16", "AVX2", DirectInference),
        ("pvgg-micro", 0, "float32", "AVX2", DirectInference),
    ],
)
def test_which_kernels(
    name: str,
    padding: int,
    arithmetic: Arithmetic,
    capability: str,
    kernels: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network = SilkNetwork(ARCHITECTURES[name], padding).eval()
    assert type(inference_for(network, arithmetic)) is kernels


def test_maps_of_tiles_are_small_enough_for_kept_memory() -> None:
    for name, architecture in ARCHITECTURES.items():
        network = SilkNetwork(architecture).eval()
        for arithmetic, size in (("float32", 4), ("bfloat16", 2)):
            tile = DirectInference(network, arithmetic).tile_pixels // 2
            assert 20e6 < tile * max(architecture.stage_channels) * size < 23e6, name


def test_folding_leaves_no_normalisation_without_padding() -> None:
    folded = fold(network_of(0))
    assert all(layer.scale is None for layer in folded.backbone)
    padded = fold(network_of(1))
    assert all(layer.scale is not None and layer.padding == 1 for layer in padded.backbone)
    assert padded.detector.convolution.scale is None  # its projection took it over


@pytest.mark.parametrize("width", range(1, 10))
def test_a_known_sum(width: int) -> None:
    """A box filter of ones over a map of ones gives 9, in every column of every phase."""
    layer = Convolution(torch.ones(2, 1, 3, 3), torch.tensor([0.0, -10.0]))
    n_tiles = -(-width // 4) + 1
    maps = Phases(torch.ones(4, 5, n_tiles + 1, 1), width + 2)
    found = WinogradConvolution(layer)(maps).joined()
    expected = torch.tensor([9.0, 0.0]).expand(3, width, 2)  # 9 - 10 is below 0
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_phases_are_put_back_in_order() -> None:
    data = torch.full((4, 1, 3, 1), torch.nan)
    for column in range(8):
        data[column % 4, 0, column // 4, 0] = column
    assert Phases(data, 7).joined().flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]

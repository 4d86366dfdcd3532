import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shared_data import shared
from torch import Tensor

from silk_sfm.nn.architecture import ARCHITECTURES, architecture_name
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import (
    WeightsCard,
    clean_name,
    load_silk,
    read_metadata,
    save_silk,
    weights_digest,
)

CARD = WeightsCard(0, "Apache-2.0", "nothing, only a test")


def published_name(name: str) -> str:
    """The published key of one of our names, written out by hand."""
    part, *rest = name.split(".")
    if part == "descriptor_scale":
        return "descriptor_scale_factor"
    if part == "stages":
        stage, block, layer, leaf = rest
        number = {"convolution": 0, "norm": 2}[layer]
        return f"backbone._backbone.layers.{stage}.{block}.{number}.{leaf}"
    head = {"detector": "logits._detH", "descriptor": "raw_descriptors._desH"}[part]
    number_of = {
        "block.convolution": "1.0",
        "block.norm": "1.2",
        "projection": "2.0",
        "norm": "2.1",
    }
    return f"backbone._heads._mods.{head}{number_of['.'.join(rest[:-1])]}.{rest[-1]}"


def published_state(network: SilkNetwork, prefix: str = "_mods.model.") -> dict[str, Tensor]:
    return {prefix + published_name(name): value for name, value in network.state_dict().items()}


def micro() -> SilkNetwork:
    torch.manual_seed(3)
    return SilkNetwork(ARCHITECTURES["pvgg-micro"], 0, 1.5).eval()


def same_weights(a: SilkNetwork, b: SilkNetwork) -> None:
    torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


# ---------- published checkpoints ----------


def test_every_recorded_key_has_its_place() -> None:
    recorded = json.loads(shared("reference", "state_dict_keys.json").read_text())
    for name, architecture in ARCHITECTURES.items():
        ours = SilkNetwork(architecture).state_dict()
        expected = [
            (published_name(key), list(value.shape), str(value.dtype))
            for key, value in ours.items()
        ]
        keys = recorded[name]["padding_0"]
        found = [(key.removeprefix("_mods.model."), *entry) for key, entry in keys.items()]
        assert sorted(found) == sorted(expected)
        assert [clean_name(key) for key in keys] == [clean_name(key) for key, *_ in found]
        assert sorted(map(clean_name, keys)) == sorted(ours)
    unnamed = recorded["SiLKVGG_without_backbone_argument(VGG)"]
    assert {clean_name(key): shape for key, shape in unnamed.items()} == {
        key: list(value.shape)
        for key, value in SilkNetwork(ARCHITECTURES["pvgg-4"]).state_dict().items()
    }


@pytest.mark.parametrize("name", [*ARCHITECTURES, "pvgg-micro_listconfig"])
def test_recorded_checkpoints_are_recognised(name: str) -> None:
    network = load_silk(shared("reference", "checkpoints", f"{name}.ckpt"), 1)
    assert architecture_name(network.architecture) == name.removesuffix("_listconfig")
    assert not network.training and network.padding == 1
    assert network.descriptor_scale.item() == pytest.approx(1.41)


@pytest.mark.parametrize(
    "content",
    [
        lambda network: {"state_dict": published_state(network), "epoch": 3},
        lambda network: published_state(network),
        lambda network: published_state(network, prefix=""),
        lambda network: {
            "state_dict": {
                **published_state(network),
                "_mods.ghost_similarity.ghost_sim": torch.tensor(0.5),
            }
        },
        lambda network: {
            key.replace("layers.0", "l1"): value
            for key, value in published_state(network, prefix="").items()
        },
    ],
    ids=["lightning", "state", "bare", "ghost", "l1"],
)
def test_variants_of_a_checkpoint(
    tmp_path: Path, content: Callable[[SilkNetwork], dict[str, object]]
) -> None:
    torch.save(content(micro()), tmp_path / "x.bin")  # the content decides, not the suffix
    same_weights(load_silk(tmp_path / "x.bin"), micro())


def test_stored_scale_wins() -> None:
    network = load_silk(shared("reference", "checkpoints", "pvgg-micro.ckpt"))
    with torch.inference_mode():
        descriptors = network.look(torch.rand(1, 1, 20, 20)).sparse_descriptors[0]
        lengths = descriptors.norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 1.41))


# ---------- our own files ----------


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "micro.safetensors"
    save_silk(micro(), path, CARD)
    loaded = load_silk(str(path), 1)
    same_weights(loaded, micro())
    assert loaded.descriptor_scale.item() == 1.5
    assert read_metadata(path) == {
        "format": "silk-sfm weights 1",
        "architecture": "pvgg-micro",
        "training_padding": "0",
        "descriptor_scale": "1.5",
        "licence": "Apache-2.0",
        "training": "nothing, only a test",
    }
    assert list(tmp_path.iterdir()) == [path]


def test_same_weights_have_the_same_digest(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths:
        save_silk(micro(), path, CARD)
    assert len({weights_digest(path) for path in paths}) == 1
    assert weights_digest(paths[0]) == hashlib.sha256(paths[0].read_bytes()).hexdigest()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "micro.safetensors"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_silk(micro(), path, CARD)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "architecture"), [("silk", "pvgg-4"), ("silk-micro", "pvgg-micro")]
)
def test_bundled_weights(name: str, architecture: str) -> None:
    assert architecture_name(load_silk(name).architecture) == architecture
    metadata = read_metadata(find_weights(name))
    assert metadata["licence"] == "Apache-2.0" and metadata["training_padding"] == "0"
    assert find_weights(name).with_suffix(".md").read_text().startswith(f"# silk-{architecture}\n")


def test_bundled_weights_are_the_trained_ones() -> None:
    same_weights(load_silk("silk"), load_silk(shared("weights", "silk-pvgg-4.ckpt")))


def test_a_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(__file__, "silk")
    assert find_weights("silk").name == "silk-pvgg-4.safetensors"
    assert find_weights("./silk") == Path("silk")

"""Whatever is not a SiLK network gives one line that names the file, and nothing of it is run."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from silk_sfm.errors import WeightsError
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import WeightsCard, load_silk, read_metadata, read_tensors, save_silk


def micro() -> SilkNetwork:
    return SilkNetwork(ARCHITECTURES["pvgg-micro"])


def micro_state() -> dict[str, Tensor]:
    """A state with our names, which a checkpoint may have as well as the published ones."""
    return dict(micro().state_dict())


def error_of(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        load_silk(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


def test_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"conv1.weight": torch.ones(2, 1, 3, 3)}}, path)
    assert error_of(path) == (
        f"{path}: expected a SiLK network (pvgg-4, pvgg-3, pvgg-2, pvgg-1, pvgg-micro), "
        "found no 'stages.0.0.convolution.weight' among its 1 tensors."
    )
    torch.save({"epoch": 3, "weights": [1]}, path)
    assert "found no 'stages.0.0.convolution.weight' among its 0 tensors" in error_of(path)


def test_another_size(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    state = micro_state()
    state["stages.0.0.convolution.weight"] = torch.ones(48, 1, 3, 3)
    torch.save(state, path)
    assert error_of(path) == (
        f"{path}: expected one of pvgg-4, pvgg-3, pvgg-2, pvgg-1, pvgg-micro, found "
        "Architecture(stage_channels=(48,), detector_hidden=32, descriptor_hidden=32, "
        "descriptor_size=32)."
    )


def test_wrong_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    state = micro_state()
    scale = state.pop("descriptor_scale")
    torch.save(state, path)
    wanted = f"{path}: expected the tensors of pvgg-micro, found"
    assert error_of(path) == f"{wanted} 1 missing, the first is descriptor_scale."
    state["descriptor_scale"] = scale
    torch.save({**state, "_mods.contextualizer.x": scale}, path)
    assert error_of(path) == f"{wanted} 1 unknown, the first is _mods.contextualizer.x."
    bias = "stages.0.0.convolution.bias"
    torch.save({**state, bias: torch.ones(3)}, path)
    assert error_of(path) == f"{wanted} stages.0.0.convolution.bias (3,) instead of (64,)."


def test_no_weights_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    wanted = f"{path}: expected a zip checkpoint or a safetensors file, found"
    path.write_bytes(b"")
    assert error_of(path) == f"{wanted} an empty file."
    path.write_text("no weights, but\na letter")
    assert error_of(path) == f"{wanted} a file that starts with b'no weight'."
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    assert error_of(path) == f"{wanted} a bare pickle, which is never read because it may run code."
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=False)
    assert "found no 'stages.0.0.convolution.weight' among its 1 tensors" in error_of(path)
    path.write_bytes(pickle.dumps({1: 2}, protocol=0))
    assert "a file that starts with b'(dp0" in error_of(path)


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file. Give a .safetensors or .ckpt file" in error_of(tmp_path / "none.ckpt")


def test_truncated_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(micro_state(), path)
    path.write_bytes(path.read_bytes()[:5000])
    assert "found a damaged file (BadZipFile: File is not a zip file)" in error_of(path)


class Harm:
    """Leaves a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_file_is_never_run(tmp_path: Path, protocol: int) -> None:
    trace, path = tmp_path / "trace", tmp_path / "x.ckpt"
    harm = pickle.dumps({"state_dict": Harm(trace)}, protocol)
    path.write_bytes(harm)
    error_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", harm)
    assert "found code to run (" in error_of(path)
    assert not trace.exists()
    pickle.loads(harm).get("state_dict").close()
    assert trace.exists()  # it would have


def test_damaged_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_silk(micro(), path, WeightsCard(0, "none", "none"))
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[:-1], whole[:8] + b"{" * 500, whole[:9]):
        path.write_bytes(damaged)
        assert error_of(path).startswith(f"{path}: expected a safetensors file, found Safetensor")
        with pytest.raises(WeightsError):
            read_metadata(path)


def test_safetensors_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2)}, path)
    assert read_tensors(path).keys() == {"a"}
    assert "among its 1 tensors" in error_of(path)

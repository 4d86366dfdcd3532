"""Checkpoints in the format of torch before 1.6, which torch still can write."""

import pickle
import struct
from pathlib import Path

import pytest
import torch
from shared_data import shared

from silk_sfm.errors import WeightsError
from silk_sfm.nn.legacy_checkpoint import MAGIC, read_legacy_checkpoint
from silk_sfm.nn.state import file_digest, read_state


def save(content: object, path: Path) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        read_legacy_checkpoint(path)
    text = str(error.value)
    assert text.startswith(f"{path}: expected ") and "\n" not in text
    return text.removeprefix(
        f"{path}: expected a PyTorch checkpoint of tensors and plain containers"
    )


def test_round_trip(tmp_path: Path) -> None:
    shared_storage = torch.arange(12.0)
    content = {
        "state_dict": {
            "a": torch.randn(3, 4, 2),
            "transposed": torch.randn(5, 6).T,
            "view": shared_storage[3:7],
            "again": shared_storage,
            "count": torch.tensor(7),
            "half": torch.randn(4).half(),
            "none": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(torch.ones(2)),
        },
        "config": {"epochs": 3, "names": ["x", "y"], "rate": 0.5},
    }
    loaded = read_legacy_checkpoint(save(content, tmp_path / "old.pth"))
    assert loaded["config"] == content["config"]
    for name, tensor in content["state_dict"].items():
        torch.testing.assert_close(loaded["state_dict"][name], tensor.detach(), rtol=0, atol=0)


def test_published_weights() -> None:
    path = shared("reference_others", "weights", "r2d2_WASF_N16.pt")
    expected = torch.load(path, map_location="cpu", weights_only=True)
    loaded = read_legacy_checkpoint(path)
    assert loaded["net"] == expected["net"] == "Quad_L2Net_ConfCFS()"  # text; never evaluated
    assert list(loaded["state_dict"]) == list(expected["state_dict"])
    for name, tensor in read_state(path).items():
        torch.testing.assert_close(tensor, expected["state_dict"][name], rtol=0, atol=0)
    assert file_digest(path).startswith("9ae90e02a9a1")


class Evil:
    def __reduce__(self) -> object:
        return exec, ("raise SystemExit('the file has run')",)


def test_code_is_never_run(tmp_path: Path) -> None:
    path = save({"state_dict": {}, "config": Evil()}, tmp_path / "evil.pth")
    assert error_of(path) == ", found code to run (`builtins.exec`); nothing was run."


def test_code_in_any_of_the_pickles(tmp_path: Path) -> None:
    content = save({"a": torch.ones(1)}, tmp_path / "good.pth").read_bytes()
    evil = pickle.dumps(Evil(), protocol=2)
    path = tmp_path / "evil.pth"
    for place in (len(MAGIC), content.index(b"}q\x00(X\x10\x00\x00\x00protocol") - 2):
        path.write_bytes(content[:place] + evil + content[place:])
        assert "code to run (`builtins.exec`)" in error_of(path)


def test_other_classes_become_inert(tmp_path: Path) -> None:
    path = save({"state_dict": {"a": torch.ones(1)}, "path": Path("x")}, tmp_path / "path.pth")
    assert list(read_state(path)) == ["a"]


def test_damage(tmp_path: Path) -> None:
    content = save({"a": torch.arange(6.0)}, tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "damaged.pth"
    path.write_bytes(content[:-3])
    assert error_of(path).startswith(", found a damaged file (ValueError: ")
    path.write_bytes(content[: len(content) // 2])
    assert error_of(path).startswith(", found a damaged file (")
    length = content.rindex(struct.pack("<q", 6))
    path.write_bytes(content[:length] + struct.pack("<q", 5) + content[length + 8 :])
    assert "a storage of 5 numbers where 6 were announced" in error_of(path)


def test_tensors_whose_numbers_are_not_listed(tmp_path: Path) -> None:
    """They would stay zeros."""
    path = save({"a": torch.ones(6)}, tmp_path / "whole.pth")
    content = path.read_bytes()
    keys = content.rindex(b"\x80\x02]q")
    end = content.index(b".", keys) + 1
    nothing = pickle.dumps([], protocol=2)
    path.write_bytes(content[:keys] + nothing + content[end:])
    assert "numbers of 0 storages, 1 announced" in error_of(path)


def test_a_tensor_alone_is_no_checkpoint(tmp_path: Path) -> None:
    assert error_of(save(torch.ones(3), tmp_path / "tensor.pth")) == ", found a Tensor."


def test_absurd_sizes_take_no_memory(tmp_path: Path) -> None:
    path = save({"a": torch.arange(6.0)}, tmp_path / "huge.pth")
    content = path.read_bytes()
    six, billions = b"K\x06", b"J" + struct.pack("<i", 2**31 - 1)
    path.write_bytes(content.replace(six, billions, 1))
    assert "a storage of 2147483647 numbers in" in error_of(path)

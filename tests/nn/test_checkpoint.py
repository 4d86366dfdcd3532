"""Checkpoints are read without running anything; every hostile file here would leave a trace."""

import collections
import importlib
import os
import pickle
import runpy
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shared_data import shared

from silk_sfm.errors import WeightsError
from silk_sfm.nn.checkpoint import Placeholder, read_checkpoint

TRACE = "trace"


class Call:
    """Pickles to a call that happens when the file is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def leave_trace(path: str) -> str:
    """A function of a module that no list names."""
    Path(path).write_text("it ran")
    return path


class Custom:
    """A class with its own ways to be restored."""

    def __reduce__(self) -> tuple[Any, ...]:
        state, items, pairs = {"a": 1}, iter([1, 2]), iter([("key", 3)])
        return (Custom, (), state, items, pairs)


class CustomNew:
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (1,), {"b": 2}


class CustomSet(set[int]):
    pass


def zip_checkpoint(path: Path, content: object, protocol: int = 2) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(content, protocol))
    return path


def error_of(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


# ---------- what may be in a file ----------


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_reads_what_torch_writes(tmp_path: Path, compression: int) -> None:
    shared_tensor = torch.arange(12.0).reshape(3, 4)
    content = {
        "state_dict": collections.OrderedDict(a=shared_tensor, b=shared_tensor[1:, ::2].T),
        "kinds": [torch.tensor(3), torch.tensor([True]), torch.ones(2).half(), torch.zeros(0, 2)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": [1, 2.5, "x", None, {1, 2}, (3,), collections.defaultdict(int, k=2)],
        "last": torch.ones(2, 3, 3, 3).contiguous(memory_format=torch.channels_last),
    }
    torch.save(content, tmp_path / "torch.ckpt")
    path = tmp_path / "again.ckpt"
    with zipfile.ZipFile(tmp_path / "torch.ckpt") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), compression)
    found = read_checkpoint(path)
    assert found.pop("plain") == content.pop("plain")
    torch.testing.assert_close(found, content)
    assert [each.dtype for each in found["kinds"]] == [
        *(torch.int64, torch.bool, torch.float16, torch.float32)
    ]


def test_configuration_objects_become_placeholders() -> None:
    assert "omegaconf" not in sys.modules
    path = shared("reference", "checkpoints", "pvgg-micro_listconfig.ckpt")
    found = read_checkpoint(path)
    assert "omegaconf" not in sys.modules
    assert isinstance(found["hyper_parameters"], Placeholder)
    group = found["optimizer_states"][0]["param_groups"][0]
    assert isinstance(group["betas"], Placeholder)
    assert type(group["lr"]) is float
    assert all(isinstance(value, torch.Tensor) for value in found["state_dict"].values())


@pytest.mark.parametrize("protocol", range(6))
def test_unknown_classes_are_inert(tmp_path: Path, protocol: int) -> None:
    custom_new = [CustomNew()] if protocol >= 4 else []  # older ones need `getattr`: refused
    content = {"a": Custom(), "b": custom_new, "c": CustomSet({1}), "d": Custom, "e": 5}
    found = read_checkpoint(zip_checkpoint(tmp_path / "c.ckpt", content, protocol))
    assert found["e"] == 5
    assert all(isinstance(each, Placeholder) for each in (found["a"], *found["b"], found["c"]))
    assert issubclass(found["d"], Placeholder)


def test_functions_of_any_module_are_inert(tmp_path: Path) -> None:
    trace = tmp_path / TRACE
    content = {"a": Call(leave_trace, str(trace))}
    found = read_checkpoint(zip_checkpoint(tmp_path / "c.ckpt", content))
    assert isinstance(found["a"], Placeholder) and not trace.exists()


# ---------- hostile files ----------

CALLS: dict[str, Callable[[str], Call]] = {
    "system": lambda trace: Call(os.system, f"touch {trace}"),
    "subprocess.check_call": lambda trace: Call(subprocess.check_call, ["touch", trace]),
    "builtins.eval": lambda trace: Call(eval, f"open({trace!r}, 'w')"),
    "builtins.exec": lambda trace: Call(exec, f"open({trace!r}, 'w')"),
    "builtins.open": lambda trace: Call(open, trace, "w"),
    "builtins.getattr": lambda _: Call(getattr, "x", "upper"),
    "builtins.__import__": lambda _: Call(__import__, "this"),
    "importlib.import_module": lambda _: Call(importlib.import_module, "this"),
    "runpy.run_path": lambda trace: Call(runpy.run_path, trace),
    "shutil.copyfile": lambda trace: Call(shutil.copyfile, __file__, trace),
    "socket.create_connection": lambda _: Call(socket.create_connection, ("127.0.0.1", 9)),
    "sys.exit": lambda _: Call(sys.exit, 3),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", CALLS)
def test_code_is_refused_and_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    trace = tmp_path / TRACE
    content = {"state_dict": {"w": torch.ones(1).tolist()}, "x": CALLS[name](str(trace))}
    path = zip_checkpoint(tmp_path / "bad.ckpt", content, protocol)
    text = error_of(path)
    assert text.startswith(
        f"{path}: expected a PyTorch checkpoint of tensors and plain containers, "
        "found code to run (`"
    )
    function = name.rsplit(".", 1)[-1]  # old protocols write some modules by their old names
    assert text.endswith(f"{function}`); nothing was run.")
    assert not trace.exists() and "this" not in sys.modules


def test_the_hostile_files_would_work(tmp_path: Path) -> None:
    trace = tmp_path / TRACE
    pickle.loads(pickle.dumps(CALLS["system"](str(trace))))
    assert trace.exists()


# ---------- damaged files ----------


def test_truncated_file(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "whole.ckpt")
    content = (tmp_path / "whole.ckpt").read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: len(content) // 2])
    assert error_of(path) == (
        f"{path}: expected a PyTorch checkpoint of tensors and plain containers, "
        "found a damaged file (BadZipFile: File is not a zip file)."
    )


def test_every_truncation_and_flipped_byte_is_one_of_our_errors(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4)}, tmp_path / "whole.ckpt")
    with zipfile.ZipFile(tmp_path / "whole.ckpt") as archive:
        name = next(each for each in archive.namelist() if each.endswith("data.pkl"))
        content = archive.read(name)
    path = tmp_path / "bad.ckpt"
    for i in range(len(content)):
        for damaged in (content[:i], content[:i] + bytes([content[i] ^ 0x55]) + content[i + 1 :]):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x/data.pkl", damaged)
                archive.writestr("x/data/0", bytes(16))
            try:
                read_checkpoint(path)
            except WeightsError as error:
                assert "\n" not in str(error)


def test_storage_of_the_wrong_size(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4)}, tmp_path / "whole.ckpt")
    path = tmp_path / "short.ckpt"
    with zipfile.ZipFile(tmp_path / "whole.ckpt") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[:12] if name.endswith("/0") else old.read(name))
    assert error_of(path).endswith("expected 16 bytes in its entry whole/data/0, found 12.")


def test_not_a_dictionary_and_not_a_checkpoint(tmp_path: Path) -> None:
    path = zip_checkpoint(tmp_path / "list.ckpt", [1, 2])
    assert error_of(path).endswith("found a list.")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert error_of(path).endswith("found a zip archive with 0 pickles.")

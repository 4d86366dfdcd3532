"""Reads the tensors of a PyTorch checkpoint without running anything that the file names.

A checkpoint is a zip archive with a pickle, and a pickle is a program that may call any function.
Here it can call nothing: tensors and plain containers are built, every other class becomes an
inert `Placeholder`, and a file that names a way to run code is refused.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from silk_sfm.errors import WeightsError

PLAIN_TYPES: Mapping[str, type] = {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": collections.defaultdict,
    **{
        f"builtins.{plain.__name__}": plain
        for plain in (dict, list, set, frozenset, tuple, int, float, bool, str)
    },
}

STORAGE_DTYPES: Mapping[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

CODE_MODULES = frozenset(
    {
        *("os", "posix", "nt", "sys", "pty", "signal", "shutil", "subprocess", "_posixsubprocess"),
        *("runpy", "importlib", "imp", "pkgutil", "pip", "site", "setuptools", "distutils"),
        *("code", "codeop", "pdb", "bdb", "pydoc", "timeit", "profile", "marshal", "ctypes"),
        *("_ctypes", "cffi", "pickle", "_pickle", "cloudpickle", "dill", "shelve", "socket", "ssl"),
        *("urllib", "http", "ftplib", "smtplib", "telnetlib", "requests", "webbrowser"),
        *("asyncio", "multiprocessing", "commands", "popen2"),
    }
)
"""Modules that exist to run code, touch files or reach the network."""

CODE_BUILTINS = frozenset(
    {
        *(
            "eval",
            "exec",
            "execfile",
            "compile",
            "__import__",
            "open",
            "file",
            "input",
            "raw_input",
        ),
        *("getattr", "setattr", "delattr", "globals", "locals", "vars", "dir", "reload"),
        *("breakpoint", "help", "exit", "quit"),
    }
)

BUILTIN_MODULES = frozenset({"builtins", "io", "_io", "codecs"})

MAX_PICKLE_BYTES = 64 * 2**20
"""Real ones have 10 to 100 kB; a larger one is not read."""


EXPECTED = "a PyTorch checkpoint of tensors and plain containers"


class Placeholder:
    """Stands for an object of a class that is not needed here; keeps nothing, does nothing."""

    def __new__(cls, *_: object, **__: object) -> Placeholder:
        """Any construction arguments are accepted and dropped."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> Placeholder:
        """What a placeholder returns is one, too."""
        return self

    def __iter__(self) -> Iterator[object]:
        """Nothing is in it."""
        return iter(())

    def append(self, item: object) -> None:
        """Drop an item of a list-like object."""

    def extend(self, items: object) -> None:
        """Drop items of a list-like object."""

    def add(self, item: object) -> None:
        """Drop an item of a set-like object."""


def read_checkpoint(path: Path) -> dict[Any, Any]:
    """The dictionary that a zip checkpoint holds; tensors are on the CPU.

    Raises WeightsError, one line that names the file, when it is no such checkpoint, damaged, or
    names code to run. Nothing in the file is ever called.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            loaded = _ZipUnpickler(path, archive, _find_pickle(path, archive)).load()
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        refuse(path, EXPECTED, f"a damaged file ({type(error).__name__}: {error})")
    return check_dictionary(path, loaded)


def check_dictionary(path: Path, loaded: object) -> dict[Any, Any]:
    """What was loaded, when it is a dictionary; raises WeightsError otherwise."""
    if not isinstance(loaded, dict):
        refuse(path, EXPECTED, f"a {type(loaded).__name__}")
    return loaded


def refuse(path: Path, expected: str, found: str) -> NoReturn:
    """Raise the one-line WeightsError of a file that is not what it should be."""
    line = " ".join(found.split())[:300].rstrip(".")
    raise WeightsError(f"{path}: expected {expected}, found {line}.")


def _find_pickle(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(names) != 1:
        refuse(path, EXPECTED, f"a zip archive with {len(names)} pickles")
    if archive.getinfo(names[0]).file_size > MAX_PICKLE_BYTES:
        refuse(path, EXPECTED, f"a pickle larger than {MAX_PICKLE_BYTES >> 20} MiB")
    return names[0]


class InertUnpickler(pickle.Unpickler):
    """Builds tensors, plain containers and placeholders; see `find_class`."""

    def __init__(self, path: Path, file: io.BytesIO) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What stands for `module.name`; imports nothing."""
        name = _modern_name(module_name, global_name)
        _refuse_code(self.path, name)
        if name in PLAIN_TYPES:
            return PLAIN_TYPES[name]
        if name.startswith("torch.") and name.removeprefix("torch.") in STORAGE_DTYPES:
            return StorageType(STORAGE_DTYPES[name.removeprefix("torch.")])
        if name in _TENSOR_BUILDERS:
            return _Builder(_TENSOR_BUILDERS[name])
        return type(name, (Placeholder,), {})


class _ZipUnpickler(InertUnpickler):
    """Takes the storages from the zip archive that the pickle lies in."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, pickle_name: str) -> None:
        super().__init__(path, io.BytesIO(archive.read(pickle_name)))
        self._archive = archive
        self._folder = pickle_name.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}

    def persistent_load(self, pid: Any, /) -> Tensor:
        """The storage ("storage", type, key, device, length) as a flat tensor, read once."""
        kind, storage_type, key, _, length = pid
        if kind != "storage" or not isinstance(storage_type, StorageType):
            refuse(self.path, EXPECTED, f"a reference to {kind!r} of unknown type")
        if key not in self._storages:
            self._storages[key] = self._read_storage(key, storage_type.dtype, length)
        return self._storages[key]

    def _read_storage(self, key: str, dtype: torch.dtype, length: int) -> Tensor:
        name = f"{self._folder}data/{key}"
        expected, found = length * dtype.itemsize, self._archive.getinfo(name).file_size
        if found != expected:
            refuse(self.path, f"{expected} bytes in its entry {name}", str(found))
        if length == 0:
            return torch.zeros(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._archive.read(name)), dtype=dtype)


class StorageType:
    """Stands for `torch.FloatStorage` and the like."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Builder:
    """A function of ours that a pickle may call; hides the function's own attributes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Tensor:
        """Build a tensor."""
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None: ...


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _rebuild_parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor


_TENSOR_BUILDERS: Mapping[str, Callable[..., Tensor]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
}


def _modern_name(module: str, name: str) -> str:
    """Python 2's names, which pickle protocol 2 writes, as those of Python 3."""
    if module == "__builtin__":
        module, name = "builtins", {"long": "int", "unicode": "str"}.get(name, name)
    return f"{module}.{name}"


def _refuse_code(path: Path, name: str) -> None:
    parts = name.split(".")
    prefixes = {".".join(parts[:end]) for end in range(1, len(parts))}
    builtin = parts[0] in BUILTIN_MODULES and not CODE_BUILTINS.isdisjoint(parts[1:])
    if builtin or prefixes & CODE_MODULES:
        refuse(path, EXPECTED, f"code to run (`{name}`); nothing was run")

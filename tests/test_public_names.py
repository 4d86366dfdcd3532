"""`import silk_sfm` is quick, and every name it promises is there."""

import json
import subprocess
import sys

import pytest

import silk_sfm

HEAVY = ("torch", "numpy", "cv2", "h5py", "pycolmap", "PIL", "cattrs", "tyro")


@pytest.mark.parametrize("name", silk_sfm.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(silk_sfm, name)
    if name != "__version__":
        assert found.__name__ == name
        assert found.__module__.startswith("silk_sfm.")
        assert found.__doc__


def test_names_are_unique_and_shown() -> None:
    assert len(silk_sfm.__all__) == len(set(silk_sfm.__all__))
    assert dir(silk_sfm) == sorted(silk_sfm.__all__)


def test_star_import_gives_all_names() -> None:
    names: dict[str, object] = {}
    exec("from silk_sfm import *", names)
    assert set(silk_sfm.__all__) <= names.keys()


def test_unknown_name() -> None:
    with pytest.raises(AttributeError) as caught:
        silk_sfm.Silc  # noqa: B018
    assert str(caught.value) == "module `silk_sfm` has no attribute `Silc`"
    with pytest.raises(ImportError, match="cannot import name 'Silc'"):
        exec("from silk_sfm import Silc")


def test_import_loads_no_library() -> None:
    code = (
        "import json, sys, silk_sfm; silk_sfm.__version__, dir(silk_sfm);"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_errors_have_one_root() -> None:
    errors = [name for name in silk_sfm.__all__ if name.endswith("Error")]
    assert len(errors) > 5
    for name in errors:
        assert issubclass(getattr(silk_sfm, name), silk_sfm.SilkSfmError)

"""What an installed silk-sfm needs besides its modules comes with it."""

import tomllib
from importlib.metadata import entry_points, metadata
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_package_data() -> None:
    package = files("silk_sfm")
    assert (package / "py.typed").is_file()
    for weights in ("silk-pvgg-4", "silk-pvgg-micro"):
        assert (package / "data" / f"{weights}.safetensors").is_file()
        assert (package / "data" / f"{weights}.md").is_file()
    for name in ("silk", "silk_micro", "silk_wide", "silk_paper", "imc2022"):
        assert (package / "configs" / f"{name}.toml").is_file()
        assert (ROOT / "configs" / f"{name}.toml").is_file()


def test_package_data_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = project["tool"]["setuptools"]["package-data"]["silk_sfm"]
    assert declared == ["py.typed", "data/*", "configs/*.toml", "reporting/assets/*"]


def test_metadata_and_console_script() -> None:
    assert metadata("silk-sfm")["License-Expression"] == "Apache-2.0"
    (script,) = entry_points(group="console_scripts", name="silk-sfm")
    assert script.value == "silk_sfm.cli:main"


def test_constraints_pin_what_is_tested() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert "torch==2.13.0" in pins
    assert "pycolmap==4.2.1" in pins

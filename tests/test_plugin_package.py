"""A real package of somebody else, installed by pip and used from the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_photos import write_small_photos

from silk_sfm.store import FeatureStore, MatchStore

SOURCE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package, without network and without this venv."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    command += ["--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def silk_sfm(installed: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run `silk-sfm` as a user with the package would."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "200"}
    command = [sys.executable, "-m", "silk_sfm", *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_plugins_are_listed_and_the_broken_one_is_named(installed: Path) -> None:
    done = silk_sfm(installed, "plugins")
    assert done.returncode == 3
    assert "  patches: Corners described by their pixels\n      licence: MIT\n" in done.stdout
    assert "  same-place: Keypoints at the same place\n" in done.stdout
    assert "  unfinished: broken\n" in done.stdout
    assert "  silk: SiLK" in done.stdout, "the others still work"
    assert done.stderr == (
        "silk-sfm plugins: error: Extractor `unfinished` (silk_sfm_patches.unfinished:Unfinished) "
        "cannot be imported: ModuleNotFoundError: No module named 'a_library_that_nobody_has'. "
        "Repair or uninstall it.\n"
    )


@pytest.mark.slow
def test_extract_and_match_with_it(installed: Path, tmp_path: Path) -> None:
    photos, features = tmp_path / "photos", tmp_path / "features.h5"
    pairs, matches = tmp_path / "pairs.txt", tmp_path / "matches.h5"
    write_small_photos(photos, 1)
    shutil.copy(photos / "000.png", photos / "001.png")
    own = ["--extractor", "patches", "--n-corners", "40"]
    for argv in (
        ["extract", str(photos), str(features), *own],
        ["pairs", str(features), str(pairs)],
        ["match", str(features), str(pairs), str(matches), "--matcher", "same-place"],
    ):
        done = silk_sfm(installed, *argv)
        assert done.returncode == 0, done.stderr
    with FeatureStore(features) as store:
        assert store.count("000.png") == 40 and store.descriptor_size == 81
        assert store.provenance is not None and store.provenance.plugin == "patches"
    with MatchStore(matches) as store:
        np.testing.assert_array_equal(store["000.png", "001.png"].indices[:, 0], np.arange(40))


def test_its_descriptors_at_keypoints_of_a_built_in(installed: Path, tmp_path: Path) -> None:
    photos, features = tmp_path / "photos", tmp_path / "features.h5"
    write_small_photos(photos, 1)
    parts = ["--detector", "sift", "--descriptor", "patches", "--detector.top-k", "25"]
    done = silk_sfm(installed, "extract", str(photos), str(features), *parts)
    assert done.returncode == 0, done.stderr
    with FeatureStore(features) as store:
        assert store["000.png"].descriptors.shape == (25, 81)


@pytest.mark.slow
def test_a_broken_one_is_an_error_of_one_line_only_when_asked_for(
    installed: Path, tmp_path: Path
) -> None:
    write_small_photos(tmp_path / "photos", 1)
    argv = ["extract", str(tmp_path / "photos"), str(tmp_path / "f.h5"), "--extractor"]
    done = silk_sfm(installed, *argv, "unfinished")
    assert done.returncode == 1
    assert done.stderr.startswith("silk-sfm extract: error: Extractor `unfinished` (silk_sfm_pat")
    assert done.stderr.count("\n") == 1
    done = silk_sfm(installed, *argv, "patch")
    assert done.returncode == 1
    assert "No extractor `patch`; installed: " in done.stderr
    assert ", patches, " in done.stderr and done.stderr.endswith("Did you mean `patches`?\n")


def test_without_the_package_it_is_unknown(tmp_path: Path) -> None:
    done = silk_sfm(tmp_path, "extract", "a", "b", "--extractor", "patches")
    assert done.returncode == 1
    assert "No extractor `patches`; installed: " in done.stderr
    assert "patches," not in done.stderr.split("installed:")[1]

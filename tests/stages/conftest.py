from pathlib import Path

import pytest
from small_extraction import extract
from small_photos import write_small_photos, write_small_weights


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos, their features, and small weights."""
    root = tmp_path_factory.mktemp("inputs")
    write_small_photos(root / "photos", 3)
    write_small_weights(root / "micro.safetensors")
    assert extract(root, root / "photos", root / "f.h5").status == 0
    return root

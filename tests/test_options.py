from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from silk_sfm.errors import ConfigError
from silk_sfm.options import flattened, neutral, read_toml, result_options, structure, to_plain


@dataclass(frozen=True)
class Options:
    top_k: int = 8000
    ratio: float = 1.0
    masks: Path | None = None
    mode: Literal["fast", "exact"] = "exact"
    refine: bool = True
    threads: int = neutral(0)

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {self.top_k}")


def test_missing_keys_keep_their_defaults() -> None:
    assert structure(Options, {}, "r") == Options()
    given = {"top_k": 5, "ratio": 1, "masks": "m", "refine": False}
    assert structure(Options, given, "r") == Options(5, 1.0, Path("m"), refine=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"topk": 5}, "r: unknown key `topk`. Did you mean `top_k`?"),
        ({"qqq": 5}, "r: unknown key `qqq`. Known: top_k, ratio, masks, mode, refine, threads."),
        ({"top_k": "5"}, "r: top_k: expected int, got '5'."),
        ({"top_k": True}, "r: top_k: expected int, got True."),
        ({"top_k": 0}, "r: top_k must be at least 1, got 0."),
        ({"refine": 1}, "r: refine: expected bool, got 1."),
        ({"mode": "x"}, "r: mode: expected one of 'fast', 'exact', got 'x'."),
    ],
)
def test_bad_values_name_their_path(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        structure(Options, values, "r")
    assert str(caught.value) == message


def test_plain_values_are_json_ready_and_come_back() -> None:
    options = Options(masks=Path("m"), threads=3)
    assert structure(Options, to_plain(options), "r") == options


def test_neutral_options_do_not_decide_results() -> None:
    assert "threads" in to_plain(Options())
    assert "threads" not in result_options(Options())


def test_toml_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the recipe .*none.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = \nb = 1")
    with pytest.raises(ConfigError, match=r"bad.toml is no valid TOML: .*line 1"):
        read_toml(tmp_path / "bad.toml")


def test_inner_tables_become_paths() -> None:
    assert flattened({"a": 1, "b": {"c": [2], "d": {"e": 3}}, "f": {}}) == {
        "a": 1,
        "b.c": [2],
        "b.d.e": 3,
        "f": {},
    }

"""Recipes on the command line: shipped ones, files, what flags change, and faults in full."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.cli.main import main
from silk_sfm.configs import recipe_names
from silk_sfm.errors import ConfigError
from silk_sfm.stages.recipe import Recipe


def test_shipped_recipes() -> None:
    assert {"imc2022", "silk", "silk_paper", "sift", "orb", "aliked"} <= set(recipe_names())
    for name in recipe_names():
        assert Recipe.read(name).to_plain()
    paper = Recipe.read("silk_paper")
    assert (paper.matcher.name, paper.matcher.options.ratio) == ("mutual", 0.6)
    assert (paper.extractor.options.nms_radius, paper.extractor.options.refine) == (0, False)
    imc = Recipe.read("imc2022")
    assert (imc.extractor.options.top_k, imc.matcher.options.threshold) == (10000, 0.01)


def test_names_of_recipes_are_words_joined_by_underscores() -> None:
    assert all(re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) for name in recipe_names())


def test_help_of_config_lists_every_recipe() -> None:
    """The text stands in the class for `--help` to be quick; here it is held to the folder."""
    text = " ".join(inspect.getsource(RunOptions).split('"""')[-2].split())
    assert text.endswith(f"a TOML file, or {', '.join(recipe_names())}.")


def test_default_recipe_holds_the_defaults_of_the_options() -> None:
    assert Recipe.read("silk") == Recipe.read() == Recipe()


def test_recipe_comes_back_from_its_plain_values(tmp_path: Path) -> None:
    plain = Recipe.read("silk_paper").to_plain()
    path = tmp_path / "again.toml"
    path.write_text("".join(_toml_table(table, values) for table, values in plain.items()))
    assert Recipe.read(str(path)) == Recipe.read("silk_paper")


def _toml_table(name: str, values: dict[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join([f"[{name}]", *lines, ""])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[extractor]\nname = 'silk'\ntopk = 5", "[extractor]: unknown key `topk`. Did you mean "),
        ("[extractor]\nname = 'silk'\ntop_k = 'x'", "[extractor]: top_k: expected int, got 'x'."),
        ("[extractor]\ntop_k = 5", "[extractor]: `name` is missing. Installed: "),
        ("[pairs]\nwindow = 0", "[pairs]: window must be at least 1, loop_every and loop_window a"),
        ("[mapping]\nmaper = 'global'", "[mapping]: unknown key `maper`. Did you mean `mapper`?"),
        ("[pair]\nwindow = 3", "unknown table [pair]. Known: extraction, pairs, matching, verif"),
        ("[matcher]\nname = 'mutual'\nratio = 2", "[matcher]: ratio must lie in (0, 1], got 2.0."),
    ],
)
def test_faulty_recipes_name_file_table_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Recipe.read(str(path))
    assert str(caught.value).startswith(f"Recipe {path}: {message}")


def test_misspelt_key_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[extraction]\nmax_sise = 5\n")
    assert main(["extract", "photos", "f.h5", "--config", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"silk-sfm extract: error: Recipe {path}: [extraction]: unknown key `max_sise`. Did you "
        "mean `max_size`?\n"
    )


def test_no_valid_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("[extraction\n")
    assert main(["pairs", "photos", "p.txt", f"--config={tmp_path}/bad.toml"]) == 1
    assert f"Recipe {tmp_path}/bad.toml is no valid TOML: " in capsys.readouterr().err


def test_flags_win_over_the_recipe_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[extraction]\nmax_size = 640\n[extractor]\nname = 'silk'\ntop_k = 77\n")
    assert parsed_extract("--config", "silk_paper") == ("silk", 1600, 10000, 0)
    assert parsed_extract("--config", str(path)) == ("silk", 640, 77, 4)
    assert parsed_extract("--config", str(path), "--top-k", "5") == ("silk", 640, 5, 4)
    assert parsed_extract("--max-size", "320", f"--config={path}") == ("silk", 320, 77, 4)
    assert parsed_extract() == ("silk", 1600, 8000, 4)


def parsed_extract(*flags: str) -> tuple[str, int, int, int]:
    """Name, max_size, top_k and nms_radius that a command line chooses."""
    from silk_sfm.cli.extract import DeviceOptions, Extract, RunOptions

    argv = ["photos", "f.h5", *flags]
    recipe = recipe_for(argv)
    chosen = recipe.extractor
    default = Extract(
        Path(),
        Path(),
        chosen.name,
        RunOptions(),
        DeviceOptions(),
        recipe.extraction,
        chosen.options,
    )
    generic: Any = Extract
    command = parse(generic[type(chosen.options)], "extract", argv, default)
    options = command.options
    return (command.extractor, command.extraction.max_size, options.top_k, options.nms_radius)


def test_flags_name_another_plugin_than_the_recipe() -> None:
    recipe = recipe_for(["--config", "silk_paper", "--matcher", "double-softmax"])
    assert (recipe.matcher.name, recipe.matcher.options) == (
        "double-softmax",
        Recipe().matcher.options,
    )
    assert recipe_for(["--config", "silk_paper", "--matcher", "mutual"]).matcher.options.ratio == (
        0.6
    )


def test_reconstruct_builds_the_recipe_it_was_given() -> None:
    from silk_sfm.cli.reconstruct import Reconstruct, _default

    recipe = Recipe.read("silk_paper")
    kinds = [type(part.options) for part in (recipe.extractor, recipe.matcher, recipe.verifier)]
    generic: Any = Reconstruct
    argv = ["photos", "out", "--config", "silk_paper", "--extractor.top-k", "9", "--window", "4"]
    command = parse(generic[tuple(kinds)], "reconstruct", argv, _default(recipe))
    built = command.recipe()
    assert built.extractor.options == dataclasses.replace(recipe.extractor.options, top_k=9)
    assert built.pairs == dataclasses.replace(recipe.pairs, window=4)
    assert built.matcher == recipe.matcher
    assert built.mapping == recipe.mapping


def test_verify_takes_the_intrinsics_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[cameras]\nintrinsics = 'rig/cameras.txt'\n")
    with pytest.raises(SystemExit):
        main(["verify", "--config", str(path), "--help"])
    assert re.search(r"\(default:\W+rig/cameras.txt\)", capsys.readouterr().out)

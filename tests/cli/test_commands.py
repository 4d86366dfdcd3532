"""What the command line promises: its list, its help, its exit statuses, its recipes."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_type_hints

import pytest

import silk_sfm
from silk_sfm import plugins
from silk_sfm.cli.main import COMMANDS, main
from silk_sfm.configs import recipe_names
from silk_sfm.stages.recipe import Recipe

HEAVY = ("torch", "numpy", "cv2", "h5py", "pycolmap", "tyro", "cattrs", "PIL", "tqdm")


def command_class(name: str) -> type[Any]:
    """The dataclass that is the command line of a command."""
    module = command_module(name)
    found: type[Any] = getattr(module, "".join(map(str.capitalize, name.split("-"))))
    return found


def command_module(name: str) -> ModuleType:
    return importlib.import_module(f"silk_sfm.cli.{name.replace('-', '_')}")


def option_names(command: type[Any], recipe: Recipe) -> set[str]:
    """The names, without dashes and prefix, of every option a command should have."""
    chosen = {
        "options": {"extract": "extractor", "match": "matcher", "verify": "verifier"},
        "extractor_options": "extractor",
        "matcher_options": "matcher",
        "verifier_options": "verifier",
    }
    found: set[str] = set()
    for field in dataclasses.fields(command):
        kind = get_type_hints(command)[field.name]
        if field.name in chosen and not dataclasses.is_dataclass(kind):
            where: Any = chosen[field.name]
            table = where if isinstance(where, str) else where[command.__name__.lower()]
            kind = type(getattr(recipe, table).options)
        if isinstance(kind, TypeVar):
            continue  # of a protocol that is not named yet
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            found.update(inner.name for inner in dataclasses.fields(kind))
        else:
            found.add(field.name)
    return found


# ---------- the list ----------


def test_list_of_commands_loads_no_library() -> None:
    code = (
        "import json, sys; from silk_sfm.cli import main; status = main(['--help']);"
        f"print(json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert json.loads(last) == [0, []]
    for name, summary in COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in lines), name


def test_installed_program_and_module_are_the_command_line() -> None:
    program = Path(sys.executable).with_name("silk-sfm")
    for command in ([str(program)], [sys.executable, "-m", "silk_sfm"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"silk-sfm {silk_sfm.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_first_line_of_the_command(name: str) -> None:
    assert callable(command_module(name).run)
    assert str(command_class(name).__doc__).splitlines()[0] == COMMANDS[name]


def test_every_command_module_is_listed() -> None:
    folder = Path(str(importlib.import_module("silk_sfm.cli").__file__)).parent
    shared = {"--init--", "main", "arguments", "printing", "scaling"}
    assert {path.stem.replace("_", "-") for path in folder.glob("*.py")} - shared == set(COMMANDS)


# ---------- help ----------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_mentions_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert COMMANDS[name] in text
    for option in option_names(command_class(name), Recipe()):
        flag = option.replace("_", "-")
        pattern = rf"(--([\w-]+\.)?{flag}|^\W*{flag.upper()})\b"
        assert re.search(pattern, text, re.MULTILINE), flag


def test_options_of_the_help_are_those_of_the_chosen_plugin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = []
    for matcher in ("mutual", "double-softmax"):
        with pytest.raises(SystemExit):
            main(["match", "--matcher", matcher, "--help"])
        texts.append(capsys.readouterr().out)
    assert "--ratio" in texts[0]
    assert "--temperature" not in texts[0]
    assert "--temperature" in texts[1]
    assert "--ratio" not in texts[1]


# ---------- exit statuses ----------


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: silk-sfm COMMAND ...\n")
    assert captured.err.endswith("\nsilk-sfm: error: give a command.\n")


def test_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extrakt"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\nsilk-sfm: error: no command `extrakt`.\n")


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help_goes_to_stdout(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: silk-sfm COMMAND ...\n")
    assert captured.err == ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pairs", "photos", "pairs.txt", "--nonsense"], "Unrecognized options: --nonsense"),
        (["show", "a", "--nonsense"], "Unrecognized options: --nonsense"),
        (["map", "photos"], "FEATURES"),
        (["pairs", "photos", "pairs.txt", "--window", "ten"], "invalid literal for int"),
        (["extract", "photos", "f.h5", "--precision", "float8"], "float8"),
        (["extract", "photos", "f.h5", "--config"], "expected one argument"),
    ],
)
def test_wrong_usage(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert "usage: pytest" not in captured.err


@pytest.mark.parametrize("verbose", ["", "-v", "--verbose"])
def test_an_error_is_one_line(verbose: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["pairs", "no/folder.h5", "pairs.txt"]
    assert main(argv + ([verbose] if verbose else [])) == 1
    captured = capsys.readouterr()
    line = (
        "silk-sfm pairs: error: No file no/folder.h5. Was it moved, or the stage before not run?\n"
    )
    assert captured.out == ""
    assert captured.err.endswith(line)
    assert captured.err.startswith("Traceback (most recent call last):") == bool(verbose)
    assert (captured.err == line) == (not verbose)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["extract", "photos", "f.h5", "--max-size", "0"],
            "silk-sfm extract: error: max_size must be at least 1 pixel, got 0.\n",
        ),
        (
            ["extract", "photos", "f.h5", "--top-k", "-3"],
            "silk-sfm extract: error: top_k must be at least 0, got -3.\n",
        ),
        (
            ["pairs", "photos", "p.txt", "--pairing", "file"],
            "silk-sfm pairs: error: `pairing = file` and `pair_file` go together: give both or "
            "neither.\n",
        ),
        (
            ["pairs", "photos", "p.txt", "--window", "0"],
            "silk-sfm pairs: error: window must be at least 1, loop_every and loop_window at least "
            "0.\n",
        ),
        (
            ["verify", "f.h5", "m.h5", "v.h5", "--seed", "-1"],
            "silk-sfm verify: error: seed must be at least 0, got -1.\n",
        ),
        (
            ["extract", "photos", "f.h5", "--config", "none"],
            "silk-sfm extract: error: No recipe none. Give a TOML file or one of: "
            f"{', '.join(recipe_names())}.\n",
        ),
        (["show", "none"], "silk-sfm show: error: There is nothing at none.\n"),
        (
            ["pack", "none.h5"],
            "silk-sfm pack: error: No file none.h5. Was it moved, or the stage before not run?\n",
        ),
    ],
)
def test_messages_in_full(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == message


def test_unknown_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--extractor", "NOPE", "photos", "f.h5"]) == 1
    installed = ", ".join(plugins.names("extractors"))
    assert capsys.readouterr().err == (
        f"silk-sfm extract: error: No extractor `NOPE`; installed: {installed}.\n"
    )
    assert main(["match", "--matcher", "mutuel", "f.h5", "p.txt", "m.h5"]) == 1
    installed = ", ".join(plugins.names("matchers"))
    assert capsys.readouterr().err == (
        f"silk-sfm match: error: No matcher `mutuel`; installed: {installed}. "
        "Did you mean `mutual`?\n"
    )

"""Plug-ins: the contract, the two ways in, and messages that name the one at fault."""

import re
from pathlib import Path

import pytest

from silk_sfm import plugins
from silk_sfm.cli import main
from silk_sfm.errors import PluginError

WHOLE = '''
from dataclasses import dataclass
from silk_sfm.plugins import About

@dataclass(frozen=True)
class Settings:
    """Settings of a test."""
    size: int = 3
    """Some size."""

@dataclass
class Melting:
    size: int = 3

class Whole:
    about = About("Does nothing.", "MIT", "No paper")
    channels = "grey"
    Options = Settings
    descriptor_size = 3
    weights_digest = ""
    def __init__(self, options, device="cpu"):
        self.options, self.device = options, device
    def __call__(self, *args): ...

class WithoutOptions(Whole):
    Options = None

class WithMeltingOptions(Whole):
    Options = Melting

class WithInstance(Whole):
    Options = Settings()

class WithPlainClass(Whole):
    Options = int

class WithoutAbout(Whole):
    about = "Does nothing."

class WithoutChannels(Whole):
    channels = "bgr"

class WithoutCall:
    about, channels, Options = Whole.about, Whole.channels, Settings

def function(*args): ...
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the module `outside`, and `broken`, which cannot be imported."""
    monkeypatch.delitem(__import__("sys").modules, "outside", raising=False)
    (tmp_path / "outside.py").write_text(WHOLE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such accelerator')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(package: Path, entries: str) -> None:
    """Give the folder the metadata that pip would write."""
    metadata = package / "outside-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entries)


# ---------- the built-in ones ----------


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_built_in_plugins_keep_the_contract(kind: plugins.Kind) -> None:
    assert plugins.names(kind) == sorted(plugins.names(kind)) != []
    for name in plugins.names(kind):
        loaded = plugins.load(kind, name)
        assert loaded.__module__.startswith("silk_sfm.")
        assert loaded.about.summary
        assert loaded.about.licence
        assert loaded.Options()  # every option has a default


def test_built_in_plugins_are_of_the_protocols() -> None:
    protocols = {"matchers": plugins.Matcher, "verifiers": plugins.Verifier}
    for kind, protocol in protocols.items():
        for name in plugins.names(kind):  # type: ignore[arg-type]
            loaded = plugins.load(kind, name)  # type: ignore[arg-type]
            assert isinstance(loaded(loaded.Options(), "cpu"), protocol)
    assert {"silk"} <= set(plugins.names("extractors"))
    assert {"double-softmax", "mutual"} <= set(plugins.names("matchers"))
    assert {"magsac"} <= set(plugins.names("verifiers"))


# ---------- from outside ----------


def test_module_and_class(package: Path) -> None:
    for kind in plugins.KINDS:
        loaded = plugins.load(kind, "outside:Whole")
        assert loaded(loaded.Options(size=5)).options.size == 5


def test_options_of_an_outside_plugin_are_flags(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["match", "--matcher", "outside:Whole", "--help"])
    assert re.search(r"--size INT\s+Some size. \(default: 3\)", capsys.readouterr().out)


def test_a_name_that_two_packages_take(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(package, "[silk_sfm.matchers]\nmutual = outside:Whole\n")
    with pytest.raises(PluginError) as caught:
        plugins.load("matchers", "mutual")
    assert str(caught.value) == (
        "Several packages have the matcher `mutual`: outside:Whole, silk_sfm.matchers.mutual:Mutual"
        ". Uninstall all but one, or choose by module:Class."
    )
    assert plugins.load("matchers", "silk_sfm.matchers.mutual:Mutual").about.summary
    assert main(["plugins"]) == 3
    assert capsys.readouterr().out.count("  mutual: ") == 1


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("matchers", "WithoutOptions", "has no frozen dataclass `Options`."),
        ("matchers", "WithMeltingOptions", "has no frozen dataclass `Options`."),
        ("verifiers", "WithInstance", "has no frozen dataclass `Options`."),
        ("verifiers", "WithPlainClass", "has no frozen dataclass `Options`."),
        ("extractors", "WithoutAbout", "has no `about = About(summary, licence)`."),
        ("extractors", "WithoutChannels", 'does not say `channels = "grey"` or `"rgb"`.'),
        ("extractors", "WithoutCall", "is no class with a `__call__` method."),
        ("extractors", "function", "is no class with a `__call__` method."),
    ],
)
def test_contract(package: Path, kind: plugins.Kind, name: str, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        plugins.load(kind, f"outside:{name}")
    assert str(caught.value) == f"{kind[:-1].capitalize()} `outside:{name}` {message}"


def test_only_extractors_have_channels(package: Path) -> None:
    assert plugins.load("matchers", "outside:WithoutChannels")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere_at_all:X", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("outside:Missing", "AttributeError: module 'outside' has no attribute 'Missing'"),
        ("broken:X", "RuntimeError: no such accelerator"),
    ],
)
def test_what_cannot_be_imported(package: Path, name: str, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        plugins.load("extractors", name)
    assert str(caught.value) == (
        f"Extractor `{name}` ({name}) cannot be imported: {reason}. Repair or uninstall it."
    )


@pytest.mark.parametrize("name", ["a b:c", ":X", "C:/weights/model", "a:b:c"])
def test_what_is_no_module_and_class(name: str) -> None:
    with pytest.raises(PluginError) as caught:
        plugins.load("matchers", name)
    assert str(caught.value) == f"`{name}` is no matcher: write module:Class."


def test_unknown_names() -> None:
    installed = ", ".join(plugins.names("matchers"))
    with pytest.raises(PluginError) as caught:
        plugins.load("matchers", "double_softmax")
    assert str(caught.value) == (
        f"No matcher `double_softmax`; installed: {installed}. Did you mean `double-softmax`?"
    )
    with pytest.raises(PluginError) as caught:
        plugins.load("matchers", "xyz")
    assert str(caught.value) == f"No matcher `xyz`; installed: {installed}."


def test_installed_package(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(package, "[silk_sfm.extractors]\nwhole = outside:Whole\n")
    assert "whole" in plugins.names("extractors")
    assert plugins.load("extractors", "whole").__name__ == "Whole"
    assert main(["plugins"]) == 0
    assert "  whole: Does nothing.\n      licence: MIT\n      paper: No paper\n" in (
        capsys.readouterr().out
    )


def test_broken_package_is_named_and_the_others_work(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(package, "[silk_sfm.matchers]\nbad = broken:Bad\nhalf = outside:WithoutOptions\n")
    assert main(["plugins"]) == 3
    captured = capsys.readouterr()
    assert "  bad: broken\n  double-softmax: Mutual best by" in captured.out
    assert captured.err == (
        "silk-sfm plugins: error: Matcher `bad` (broken:Bad) cannot be imported: RuntimeError: no "
        "such accelerator. Repair or uninstall it.\n"
        "silk-sfm plugins: error: Matcher `half` has no frozen dataclass `Options`.\n"
    )
    assert plugins.load("matchers", "mutual")

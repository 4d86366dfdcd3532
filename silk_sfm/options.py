"""Options: frozen dataclasses built from TOML, and written back as plain data.

An option is defined once, as a field with a default and a docstring. An unknown key and a bad value
are errors that name the path to them.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import cattrs

from silk_sfm.errors import ConfigError, SilkSfmError

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError when it is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the recipe {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Recipe {path} is no valid TOML: {error}.") from error


def structure(options: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build an options dataclass from plain values; missing keys keep their defaults.

    `where` names the place for messages (`configs/silk.toml: extractor`). Raises ConfigError for an
    unknown key (with the nearest known one), a value of a wrong type or one out of its range.
    """
    _refuse_unknown(options, values, where)
    try:
        return _converter().structure(dict(values), options)
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_faults(error))}.") from error


def check_at_least(name: str, value: float, least: float) -> None:
    """Raises ConfigError when an option is too small."""
    if not value >= least:
        raise ConfigError(f"{name} must be at least {least}, got {value}.")


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raises ConfigError when an option is none of the values of the Literal `choices`."""
    if value not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise ConfigError(f"{name} must be one of {known}, got {value}.")


def neutral(default: Any) -> Any:
    """A field that changes how a result is made (memory, speed), never the result itself."""
    return dataclasses.field(default=default, metadata={"neutral": True})


def to_plain(options: Any) -> dict[str, Any]:
    """An options dataclass as JSON-ready values."""
    fields = dataclasses.fields(options)
    return {field.name: _plain_value(getattr(options, field.name)) for field in fields}


def result_options(options: Any) -> dict[str, Any]:
    """The options that decide a result, as JSON-ready values: `to_plain` without neutral fields."""
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if "neutral" not in field.metadata:
            nested = dataclasses.is_dataclass(value)
            chosen[field.name] = result_options(value) if nested else _plain_value(value)
    return chosen


def flattened(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values in one table: those of inner tables by their path, `detector.top_k`."""
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        inner = flattened(value) if isinstance(value, Mapping) else {}
        flat |= {f"{name}.{key}": inner[key] for key in inner} or {name: value}
    return flat


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value):
        return to_plain(value)
    return list(value) if isinstance(value, tuple) else value


def _refuse_unknown(options: type[Any], values: Mapping[str, Any], where: str) -> None:
    known = [field.name for field in dataclasses.fields(options)]
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown key `{key}`. {hint}")
    for name, kind in get_type_hints(options).items():
        if dataclasses.is_dataclass(kind) and isinstance(values.get(name), Mapping):
            _refuse_unknown(cast("type[Any]", kind), values[name], f"{where}: {name}")


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (int, float, bool, str):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(Path, lambda value, _: Path(_exactly(value, str)))
    converter.register_structure_hook_func(_is_choice, _one_of)
    return converter


def _exactly(value: Any, kind: type[Any]) -> Any:
    """No silent conversion: "5" is no number and 1 is no truth value; 5 is a float too."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"expected {kind.__name__}, got {value!r}")
    return value


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _one_of(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ConfigError(f"expected one of {', '.join(map(repr, get_args(kind)))}, got {value!r}")
    return value


def _faults(error: cattrs.BaseValidationError) -> list[str]:
    """One `key: what is wrong` for each leaf of a cattrs error."""
    faults: list[str] = []
    for inner in error.exceptions:
        notes = [n for n in getattr(inner, "__notes__", []) if hasattr(n, "name")]
        key = f"{notes[0].name}: " if notes else ""
        if isinstance(inner, cattrs.BaseValidationError):
            faults += [f"{key}{fault}" for fault in _faults(inner)]
        else:
            is_told = isinstance(inner, (SilkSfmError, ValueError))
            text = str(inner).rstrip(".") if is_told else repr(inner)
            faults.append(f"{key}{text}")
    return faults

"""The figures of the code style: `python tests/style_figures.py silk_sfm`."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

LONG_FUNCTION = 50


@dataclass(frozen=True)
class StyleFigures:
    """n_functions; median_lines and share_long of functions; share_typed: every argument and the
    return value annotated; longest_module: its name and lines
    """

    n_functions: int
    median_lines: float
    share_long: float
    share_typed: float
    longest_module: tuple[str, int]

    def __str__(self) -> str:
        name, lines = self.longest_module
        return (
            f"functions: {self.n_functions}\n"
            f"median function length: {self.median_lines:g} lines\n"
            f"functions over {LONG_FUNCTION} lines: {100 * self.share_long:.1f} %\n"
            f"functions fully typed: {100 * self.share_typed:.1f} %\n"
            f"longest module: {name}, {lines} lines"
        )


def style_figures(package: Path) -> StyleFigures:
    """Measure every function of every module below `package`."""
    modules = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    functions = [
        node
        for text in modules.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    sizes = {str(path): len(text.splitlines()) for path, text in modules.items()}
    return StyleFigures(
        n_functions=len(functions),
        median_lines=median(lengths),
        share_long=sum(length > LONG_FUNCTION for length in lengths) / len(functions),
        share_typed=sum(map(_is_typed, functions)) / len(functions),
        longest_module=max(sizes.items(), key=lambda item: item[1]),
    )


def _is_typed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    others = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    return function.returns is not None and all(a.annotation for a in [*named, *others])


if __name__ == "__main__":
    print(style_figures(Path(sys.argv[1])))

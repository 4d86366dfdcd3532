"""The tree of the package with one line a module: `python tests/package_tree.py silk_sfm`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

WIDTH = 24


def package_tree(package: Path) -> str:
    """A line for each folder and module: its name and the first line of its docstring."""
    lines: list[str] = []
    for path in sorted(package.rglob("*.py"), key=_order(package)):
        relative = path.relative_to(package)
        summary = _summary(path)
        if path.name != "__init__.py":
            name = "  " * len(relative.parts) + path.name
        elif path.parent == package:
            continue
        else:
            name = "  " * (len(relative.parts) - 1) + f"{relative.parent}/"
        lines.append(f"{name:{WIDTH}}  {summary}")
    return "\n".join(lines)


def _order(package: Path):  # noqa: ANN202
    def key(path: Path) -> tuple[int, tuple[str, ...]]:
        parts = path.relative_to(package).parts
        return len(parts) > 1, (*parts[:-1], "" if path.name == "__init__.py" else path.name)

    return key


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    print(package_tree(Path(sys.argv[1])))

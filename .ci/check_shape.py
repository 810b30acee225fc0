"""The shape that every file keeps: sizes, parameters, docstrings, purity of the core. Prints what breaks it.

Fed by: the checkout. Feeds: `make lint`. Never: changes a file.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("cdc", "reconciler", "shared", "deploy")
MODULE_LINES = 400
FUNCTION_LINES = 50
PARAMETERS = 6
PURE = ("cdc/binlog", "cdc/core", "reconciler/core", "shared/model", "shared/gotemplate", "shared/jinjatemplate")
IMPURE_IMPORTS = frozenset(
    [
        "asyncio",
        "http",
        "kafka",
        "kubernetes",
        "logging",
        "os",
        "pymysql",
        "pymysqlreplication",
        "random",
        "requests",
        "secrets",
        "socket",
        "ssl",
        "structlog",
        "subprocess",
        "threading",
        "time",
        "urllib3",
    ]
)
IMPURE_CALLS = frozenset(("open", "input", "print"))
WORDS = ("fed by", "feeds", "never")


def modules() -> Iterator[Path]:
    """Every module of the product and its deployment."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def complaints(path: Path) -> Iterator[str]:
    """What is wrong with one module."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    name = path.relative_to(ROOT).as_posix()
    lines = text.count("\n")
    if lines >= MODULE_LINES:
        yield f"{name}: {lines} lines (limit {MODULE_LINES - 1})"
    docstring = (ast.get_docstring(tree) or "").lower()
    missing = [word for word in WORDS if word not in docstring]
    if missing and path.name != "__init__.py":
        yield f"{name}: module docstring does not say {', '.join(missing)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from function_complaints(name, node)
    if name.startswith(PURE):
        yield from impurities(name, tree)


def function_complaints(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Length and number of parameters."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > FUNCTION_LINES:
        yield f"{name}:{node.lineno}: {node.name} has {length} lines (limit {FUNCTION_LINES})"
    parameters = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
    if len(parameters) > PARAMETERS:
        yield f"{name}:{node.lineno}: {node.name} has {len(parameters)} positional parameters (limit {PARAMETERS})"


def impurities(name: str, tree: ast.Module) -> Iterator[str]:
    """Imports and calls that a pure module must not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found = {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"{name}:{node.lineno}: calls {node.func.id} in a pure module"
            continue
        else:
            continue
        for module in sorted(found & IMPURE_IMPORTS):
            yield f"{name}:{node.lineno}: imports {module} in a pure module"


def main() -> int:
    """Exit code 1 when anything is out of shape; prints the share of pure lines."""
    found = [complaint for path in modules() for complaint in complaints(path)]
    counts = {path: path.read_text(encoding="utf-8").count("\n") for path in modules()}
    product = {p: n for p, n in counts.items() if not p.relative_to(ROOT).as_posix().startswith("deploy/")}
    pure = sum(n for p, n in product.items() if p.relative_to(ROOT).as_posix().startswith(PURE))
    total = sum(product.values())
    sys.stdout.write("".join(f"{complaint}\n" for complaint in found))
    sys.stdout.write(
        f"shape: {len(product)} product modules, {total} lines, {pure * 100 // max(total, 1)} % pure, "
        f"largest {max(product.values(), default=0)}, {len(found)} complaints\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

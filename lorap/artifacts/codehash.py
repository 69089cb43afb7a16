"""A hash of the code that a step runs: the modules of lorap that it can reach, without comments and docstrings."""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.name
# What settings may be and what an artifact says of itself: specs are compared by value, an edit here makes none stale.
DECLARATIONS = {
    ROOT,
    *(f"{ROOT}.{name}" for name in ("errors", "strict")),
    *(f"{ROOT}.artifacts.{name}" for name in ("meta", "names", "specs")),
    *(f"{ROOT}.settings.{name}" for name in ("config", "method", "schema", "sources")),
    f"{ROOT}.methods.registry",
}
DATA = (".csv", ".j2")


@functools.cache
def code_hash(*starts: str) -> str:
    """Hash of modules and of every lorap module that they import, directly or not; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    modules = sorted({name for start in starts for name in closure(start)})
    for name in modules:
        digest.update(f"{name}:{_tree_hash(name)};".encode())
    for data in sorted({data for name in modules for data in _data_beside(name)}):
        digest.update(data.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def closure(module: str) -> frozenset[str]:
    """Names of the lorap modules that a module reaches through imports, itself among them."""
    reached: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        reached.add(name)
        todo |= _imports(name) - reached
    return frozenset(reached)


def module_file(module: str) -> Path | None:
    """The source file of a module or package of lorap; None where there is no such module."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py") if path != PACKAGE else PACKAGE / "__init__.py", path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _data_beside(module: str) -> list[Path]:
    """The tables and templates that lie in the folder of a module, which its code may read."""
    file = module_file(module)
    return sorted(data for suffix in DATA for data in file.parent.glob(f"*{suffix}")) if file else []


@functools.cache
def _tree(module: str) -> ast.Module:
    file = module_file(module)
    if file is None:
        raise ModuleNotFoundError(module)
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(module: str) -> set[str]:
    """The lorap modules named in a module's import statements, inside functions too, and the packages around them."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == ROOT:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == ROOT}
    parents = {".".join(name.split(".")[:depth]) for name in found for depth in range(1, name.count(".") + 1)}
    return {name for name in found | parents if module_file(name)} - DECLARATIONS


@functools.cache
def _tree_hash(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

"""The shape of the code: imports point one way, nothing unsafe is called, everything public is documented and typed."""

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorap.methods.registry import NONE, SLOTS, registered
from lorap.settings.config import load_params

PACKAGE = Path(__file__).parents[1] / "lorap"
FILES = sorted(PACKAGE.rglob("*.py"))

# What the modules of a room may import beside those of their own; `bare` are the modules that lie in none.
LAYERS: dict[str, set[str]] = {
    "bare": set(),
    "core": set(),
    "model": {"bare", "core"},
    "methods": {"bare", "core", "model"},
    "settings": {"bare", "model", "methods"},
    "artifacts": {"bare", "model", "methods", "settings"},
    "data": {"bare", "settings", "artifacts", "model"},
    "compression": {"bare", "core", "settings", "artifacts", "model", "methods"},
    "machine": {"bare", "core", "settings", "artifacts", "model", "methods"},
    "tuning": {"bare", "core", "settings", "artifacts", "model", "methods", "data", "compression", "machine"},
    "evaluation": {"bare", "core", "settings", "artifacts", "model", "data", "compression", "machine", "tuning"},
    "report": {"bare", "methods", "settings", "artifacts"},
    "workflow": {"bare", "methods", "settings", "artifacts", "model", "machine", "report"},
}
LAYERS["api"] = set(LAYERS)
LAYERS["cli"] = set(LAYERS)
BARE = ("errors", "files", "strict")
LIGHT = ("bare", "settings", "artifacts", "report", "workflow")  # they start often, so without heavy libraries
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {
    "torch.load", "torch.save", "eval", "exec", "compile", "__import__", "os.system", "os.popen",
    "subprocess.getoutput", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
UNSAFE_FLAGS = ("trust_remote_code", "shell", "allow_pickle")
HEAVY = {"torch", "transformers", "peft", "lm_eval", "datasets", "safetensors", "tokenizers"}


def layer_of(module: str) -> str:
    """The layer of a module such as ``lorap.core.budget``."""
    top = module.split(".")[1] if "." in module else "api"  # whose functions the package itself has
    layer = (dict.fromkeys(BARE, "bare") | {"__main__": "cli"}).get(top, top)
    assert layer in LAYERS, f"{module} belongs to no layer, give it one here"
    return layer


def module_of(file: Path) -> str:
    return ".".join(("lorap", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path) -> Iterator[str]:
    """Every module that a file names in an import, inside functions too."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_one_way(file: Path) -> None:
    layer = layer_of(module_of(file))
    allowed = LAYERS[layer] | {layer}
    names = [name for name in imported(file) if name.startswith("lorap.") and name != "lorap.__version__"]
    assert [name for name in names if layer_of(name) not in allowed] == []


def test_the_layers_form_no_circle() -> None:
    order = list(graphlib.TopologicalSorter(LAYERS).static_order())
    assert order.index("core") < order.index("model") < order.index("methods") < order.index("compression")
    assert order.index("evaluation") < order.index("cli")


def test_what_the_core_needs_is_torch_alone() -> None:
    names = {name.split(".")[0] for file in (PACKAGE / "core").glob("*.py") for name in imported(file)}
    assert names - set(sys.stdlib_module_names) == {"torch", "lorap"}


def test_the_modeling_file_that_travels_needs_no_lorap() -> None:
    names = {name.split(".")[0] for name in imported(PACKAGE / "model" / "modeling_lorap.py")}
    assert names - set(sys.stdlib_module_names) == {"torch", "transformers"}


@pytest.mark.parametrize("layer", LIGHT)
def test_a_layer_that_is_run_often_starts_without_heavy_libraries(layer: str, tmp_path: Path) -> None:
    names = [module_of(file) for file in FILES if layer_of(module_of(file)) == layer]
    code = f"import sys, {', '.join(names)}; print(*sorted(sys.modules.keys() & {HEAVY!r}))"
    path = {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | path, cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout.decode().split()) == (0, [])


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_nothing_unsafe_is_imported_or_called(file: Path) -> None:
    assert not {name.split(".")[0] for name in imported(file)} & UNSAFE_MODULES
    for node in ast.walk(tree(file)):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{file}:{node.lineno}: bare except"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in UNSAFE_CALLS, f"{file}:{node.lineno}: {called}"
            flags = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert all(flags.get(flag, "False") == "False" for flag in UNSAFE_FLAGS), f"{file}:{node.lineno}: {flags}"
            if called.startswith("Auto") and called.endswith((".from_pretrained", ".from_config")):
                # Where it is not said, transformers asks on the terminal whether to run a folder's code.
                told = "trust_remote_code" in flags or file.name == "modeling_lorap.py"
                assert told, f"{file}:{node.lineno}: trust_remote_code=False is missing"


def public_functions(body: list[ast.stmt], public: bool = True) -> Iterator[ast.FunctionDef]:
    """Functions and methods that are part of the interface: no name on the way begins with an underscore."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and public and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from public_functions(node.body, public and not node.name.startswith("_"))


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_everything_public_says_what_it_does_and_on_which_types(file: Path) -> None:
    module = tree(file)
    assert ast.get_docstring(module)
    for function in public_functions(module.body):
        assert ast.get_docstring(function), f"{function.name} has no docstring"
        assert function.returns is not None, f"{function.name} tells no return type"
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        bare = [argument.arg for argument in arguments if argument.annotation is None]
        assert set(bare) <= {"self", "cls"}, f"{function.name}: {bare} have no type"


def test_no_two_files_share_a_name_and_none_is_long() -> None:
    names = [file.name for file in FILES if not file.name.startswith("__")]
    assert sorted(names) == sorted(set(names))
    others = [*PACKAGE.parent.glob("benchmarks/*.py"), *PACKAGE.parent.glob("rules/*"), PACKAGE.parent / "Snakefile"]
    assert {str(file): n for file in (*FILES, *others) if (n := len(file.read_text().splitlines())) > 200} == {}


def test_the_loop_over_layers_and_the_report_name_no_method() -> None:
    named = {*load_params().methods, *(name for slot in SLOTS for name in registered(slot))}
    files = [file for file in FILES if layer_of(module_of(file)) in ("compression", "report")]
    texts = {node.value for file in files for node in ast.walk(tree(file)) if isinstance(node, ast.Constant)}
    assert texts & named - {NONE, "lorap"} == set(), "lorap alone is also the package"

"""What ``pip install lorap`` brings suffices to compress; a command that needs more says which extra it misses."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lorap.cli.extras import EXTRAS
from tests.adapters import random_adapter
from tests.bare_install import PROJECT, canonical, optional_modules, run
from tests.command import PREFIX
from tests.gguf_file import write_gguf

COMPRESS = ["compress", "--model", "model", "--calibration", "own.safetensors", "--sparsity", "0.5", "--out", "small"]
CORE = [
    ["fetch", "tiny.gguf", "--dtype", "float32", "--out", "fetched"],
    ["calibrate", "--model", "model", "--text", "book.txt", "--nsamples", "4", "--out", "own.safetensors"],
    ["plan", "--model", "model", "--sparsity", "0.5"],
    COMPRESS,
    ["show", "small"],
    ["export", "--model", "small", "--out", "stock"],
    ["redecompose", "--model", "model", "--adapter", "adapter", "--out", "joined"],
    ["evaluate", "perplexity", "--model", "small", "--text", "book.txt", "--windows", "1", "--out", "p.json"],
    ["evaluate", "cost", "--model", "small", "--out", "c.json"],
    ["evaluate", "spectra", "--model", "model", "--calibration", "own.safetensors", "--out", "s.json"],
]
MORE = {  # a command, the package that it misses first where all optional ones are missing, and the extra that has it
    "tune": (["--model", "model", "--data", "book.txt", "--out", "out"], "datasets", "tune"),
    "evaluate zeroshot": (["--model", "model", "--tasks", "pydoc", "--out", "out"], "lm_eval", "evaluate"),
    "evaluate cost": (["--model", "model", "--adapter", "adapter", "--out", "out"], "peft", "tune"),
    "calibrate": (["--model", "model", "--corpus", "mine", "--out", "out"], "datasets", "evaluate"),
}


@pytest.fixture
def bare(work: Path) -> Path:
    """The working folder with an adapter, a GGUF file, and a corpus whose rows are in a table."""
    random_adapter(work / "model", work / "adapter")
    write_gguf(work / "model", work / "tiny.gguf")
    (work / "rows.jsonl").write_text('{"text": "to be or not to be"}')
    (work / "params.yaml").write_text("corpora: {mine: {source: files, local: {calibration: rows.jsonl}}}")
    return work


def test_each_extra_brings_what_its_commands_may_miss() -> None:
    for extra, modules in EXTRAS.items():
        wanted = [Requirement(requirement).name for requirement in PROJECT["optional-dependencies"][extra]]
        assert sorted(wanted) == sorted({canonical(module) for module in modules} | ({"lorap"} & set(wanted))), extra
    everything = Requirement(PROJECT["optional-dependencies"]["workflow"][0])
    assert everything.extras == EXTRAS.keys() - {"workflow"}


@pytest.mark.system
def test_what_is_installed_without_extras_compresses_loads_and_measures(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(bare))
    missing = optional_modules()
    assert {"datasets", "lm_eval", "matplotlib", "pandas", "peft", "snakemake"} <= missing
    ended = run(missing, CORE, bare)
    assert ended == [(0, "")] * len(CORE)
    before = sorted(bare.rglob("*"))
    ended = run(missing, [[*name.split(), *options] for name, (options, _, _) in MORE.items()], bare)
    assert ended == [
        (1, f"{PREFIX}{name.split()[0]}: needs {module}; pip install 'lorap[{extra}]'\n")
        for name, (_, module, extra) in MORE.items()
    ]
    assert sorted(bare.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (["report", "--grid", "demo"], "matplotlib", "report"),
        (["report", "--grid", "demo"], "tabulate", "report"),
        (["compare", "--grid", "demo"], "pandas", "report"),
        (["adopt"], "snakemake", "workflow"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_one_missing_package_is_an_error_of_one_line(
    tmp_path: Path, command: list[str], module: str, extra: str
) -> None:
    line = f"{PREFIX}{command[0]}: needs {module}; pip install 'lorap[{extra}]'\n"
    assert run({module}, [command], tmp_path) == [(1, line)]
    assert not list(tmp_path.iterdir())

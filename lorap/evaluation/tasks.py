"""Tasks of lm-eval as files: the built-in ones, on local data where there is some, and lorap's own."""

import glob
import json
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lorap.data.corpora import LOCAL_ROOT
from lorap.errors import LorapError
from lorap.evaluation.choice import choice_documents
from lorap.files import sha256_file
from lorap.settings.schema import Zeroshot


@dataclass(frozen=True)
class BuiltIn:
    """A task of lm-eval: its file below lm_eval/tasks, the split that is scored, and the columns that it reads."""

    file: str
    split: str
    columns: tuple[str, ...]


_PICK = ("choices", "answerKey")
TASKS = {
    "boolq": BuiltIn("super_glue/boolq/default.yaml", "validation", ("passage", "question", "label")),
    "piqa": BuiltIn("piqa/piqa.yaml", "validation", ("goal", "sol1", "sol2", "label")),
    "hellaswag": BuiltIn(
        "hellaswag/hellaswag.yaml", "validation", ("activity_label", "ctx_a", "ctx_b", "endings", "label")
    ),
    "winogrande": BuiltIn("winogrande/default.yaml", "validation", ("sentence", "option1", "option2", "answer")),
    "arc_easy": BuiltIn("arc/arc_easy.yaml", "test", ("question", *_PICK)),
    "arc_challenge": BuiltIn("arc/arc_challenge.yaml", "test", ("question", *_PICK)),
    "openbookqa": BuiltIn("openbookqa/openbookqa.yaml", "test", ("question_stem", *_PICK)),
}
OWN = "pydoc"
OWN_CONFIG = {
    "dataset_path": "json",
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_text": "context",
    "doc_to_target": "answer",
    "doc_to_choice": "endings",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
    "metadata": {"version": 1.0},
}


def data_folder(zeroshot: Zeroshot, data: Path | None) -> Path | None:
    """The folder of local files: the one given, else the settings' below LORAP_DATA; None means the hub."""
    root = os.environ.get(LOCAL_ROOT)
    return data or (Path(root, zeroshot.local) if root and zeroshot.local else None)


def write_tasks(names: list[str], data: Path | None, folder: Path) -> dict[str, dict[str, str]]:
    """Writes NAME.yaml for every task into ``folder``, for lm-eval to read, and what lorap's own task asks.

    A folder ``data`` holds TASK/SPLIT.parquet; None leaves a task as lm-eval has it, on the hub. All that `datasets`
    makes of local files stays in ``folder``, since its own cache does not notice every change of a file.

    Returns:
        Where every task's documents come from: ``file`` and ``sha256``, or nothing where lm-eval knows.

    Raises:
        LorapError: There is no such task, or a file is missing, damaged, or lacks a column of the task's.
    """
    known = [*TASKS, OWN]
    if unknown := [name for name in names if name not in known]:
        raise LorapError(f"tasks: no task {unknown[0]!r}; there are {', '.join(known)}")
    return {name: _write_own(folder) if name == OWN else _write_built_in(name, data, folder) for name in names}


def _write_own(folder: Path) -> dict[str, str]:
    file = folder / f"{OWN}.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in choice_documents()), encoding="utf-8")
    _write_yaml(OWN, folder, OWN_CONFIG | _reads({"test": [file]}, folder))
    return {"file": "pydoc_data.topics", "sha256": sha256_file(file)}


def _write_built_in(name: str, data: Path | None, folder: Path) -> dict[str, str]:
    """A built-in task by its own file, so that its prompt and metrics are lm-eval's to the letter."""
    task = TASKS[name]
    include = {"include": str(files("lm_eval") / "tasks" / task.file)}
    if data is None:
        _write_yaml(name, folder, include)
        return {}
    file = data / name / f"{task.split}.parquet"
    _check_file(file, name, task)
    splits = {f"{split}_split": split if split == task.split else None for split in ("training", "validation", "test")}
    local = {"dataset_path": "parquet", "dataset_name": None, **splits, **_reads({task.split: [file]}, folder)}
    _write_yaml(name, folder, include | local)
    return {"file": f"{name}/{file.name}", "sha256": sha256_file(file)}


def _reads(files: dict[str, list[Path]], folder: Path) -> dict[str, Any]:
    """The settings by which `datasets` reads files, whose names it takes for patterns."""
    patterns = {split: [glob.escape(str(path.resolve())) for path in paths] for split, paths in files.items()}
    return {"dataset_kwargs": {"data_files": patterns, "cache_dir": str(folder / "cache")}}


def _write_yaml(name: str, folder: Path, config: dict[str, Any]) -> None:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | config, sort_keys=False), encoding="utf-8")


def _check_file(file: Path, name: str, task: BuiltIn) -> None:
    """Raises a LorapError unless a file holds what a task reads: lm-eval would ask about ``None`` without a word."""
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    correct = f"correct --data or {LOCAL_ROOT}, or leave both out to read from the hub"
    if not file.is_file():
        raise LorapError(f"{file}: missing, expected a parquet file of task {name!r}; {correct}")
    try:
        there = pyarrow.parquet.read_schema(file).names
        if missing := [column for column in task.columns if column not in there]:
            raise LorapError(f"{file}: no column {missing[0]!r}, which task {name!r} reads; it has {', '.join(there)}")
        table = pyarrow.parquet.read_table(file, columns=list(task.columns))
    except (ArrowException, OSError) as error:
        raise LorapError(f"{file}: cannot be read as parquet ({str(error).splitlines()[0]})") from error
    if not table.num_rows:
        raise LorapError(f"{file}: no rows, expected the documents of task {name!r}")
    for column in task.columns:
        if table.column(column).null_count:
            raise LorapError(f"{file}: column {column!r} is empty in some rows, task {name!r} reads it of each")

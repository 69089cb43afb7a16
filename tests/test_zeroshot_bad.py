"""Tasks, files and models that zero-shot measuring must refuse in one line, rather than score."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lorap.errors import LorapError
from lorap.evaluation.tasks import TASKS
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from tests.asking import measure, spec_of

pytestmark = pytest.mark.thorough

CHOICES = {"text": ["yes", "no"], "label": ["A", "B"]}
GOOD: dict[str, dict[str, Any]] = {
    "boolq": {"passage": "It rains.", "question": "does it rain", "label": 1},
    "piqa": {"goal": "to sit", "sol1": "use a chair", "sol2": "use a spoon", "label": 0},
    "hellaswag": {"activity_label": "Play", "ctx_a": "A", "ctx_b": "b", "endings": ["x", "y"], "label": "1"},
    "winogrande": {"sentence": "The _ is red.", "option1": "sun", "option2": "sea", "answer": "1"},
    "arc_easy": {"question": "Is it?", "choices": CHOICES, "answerKey": "A"},
    "arc_challenge": {"question": "Is it?", "choices": CHOICES, "answerKey": "A"},
    "openbookqa": {"question_stem": "It is", "choices": CHOICES, "answerKey": "B"},
}


def write(data: Path, task: str, rows: list[dict[str, Any]]) -> Path:
    """The local file of a task, with some rows."""
    file = data / task / f"{TASKS[task].split}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def refusal(folder: Path, task: str, data: Path | None) -> str:
    """The line that measuring ends with."""
    with pytest.raises(LorapError) as caught:
        measure(folder, task, data=data)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("task", TASKS)
def test_the_columns_listed_are_those_that_a_task_needs(task: str, tiny_folder: Path, tmp_path: Path) -> None:
    """Fails where a file without a needed column gets as far as lm-eval, or one with all of them is refused."""
    data = tmp_path / "da[t]a *"  # letters that a pattern would read otherwise
    write(data, task, [GOOD[task], GOOD[task]])
    assert measure(tiny_folder, task, data=data)["tasks"][task]["documents"] == 2
    for column in GOOD[task]:
        file = write(data, task, [{name: value for name, value in GOOD[task].items() if name != column}])
        assert f"{file}: no column {column!r}, which task {task!r} reads" in refusal(tiny_folder, task, data)
        write(data, task, [GOOD[task], GOOD[task] | {column: None}])
        assert f"{file}: column {column!r} is empty in some rows" in refusal(tiny_folder, task, data)


def test_a_single_document_has_no_standard_error(tiny_folder: Path, tmp_path: Path) -> None:
    """Fails where lm-eval's "N/A" gets into the numbers."""
    write(tmp_path, "piqa", [GOOD["piqa"]])
    assert measure(tiny_folder, "piqa", data=tmp_path)["tasks"]["piqa"].keys() == {"acc", "acc_norm", "documents"}


def test_an_unknown_task_is_named_with_those_that_there_are(tiny_folder: Path) -> None:
    line = refusal(tiny_folder, "mmlu", None)
    assert line == f"tasks: no task 'mmlu'; there are {', '.join(TASKS)}, pydoc"


def test_a_missing_file_is_not_replaced_by_the_hub(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where a wrong --data or LORAP_DATA goes unnoticed."""
    path = tmp_path / "piqa" / "validation.parquet"
    assert f"{path}: missing, expected a parquet file of task 'piqa'; correct" in refusal(tiny_folder, "piqa", tmp_path)
    monkeypatch.setenv("LORAP_DATA", str(tmp_path.parent))
    with pytest.raises(LorapError, match="missing, expected a parquet file of task 'piqa'"):
        measure(tiny_folder, "piqa", local=tmp_path.name)


def test_a_damaged_file_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    """Fails where a file that is no parquet, was cut or has a damaged page ends in a traceback."""
    file = write(tmp_path, "piqa", [{**GOOD["piqa"], "goal": f"goal {row}"} for row in range(500)])
    whole = file.read_bytes()
    for damaged in (b"", b"not parquet at all", whole[: len(whole) // 2], whole[:4] + b"\xff" * 900 + whole[904:]):
        file.write_bytes(damaged)
        assert f"{file}: cannot be read as parquet (" in refusal(tiny_folder, "piqa", tmp_path)


def test_a_file_without_rows_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "piqa", [GOOD["piqa"]])
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert f"{file}: no rows" in refusal(tiny_folder, "piqa", tmp_path)


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("piqa", {"label": -1}),
        ("piqa", {"label": 2}),
        ("piqa", {"sol1": ""}),
        ("piqa", {"sol1": 5}),
        ("boolq", {"label": "true"}),
        ("hellaswag", {"label": "4"}),
        ("hellaswag", {"label": ""}),
        ("winogrande", {"answer": "3"}),
        ("winogrande", {"sentence": "The sun is red."}),
        ("arc_easy", {"answerKey": "E"}),
        ("arc_easy", {"choices": "yes or no"}),
        ("openbookqa", {"answerKey": ""}),
    ],
)
def test_documents_without_a_right_answer_are_refused(
    task: str, change: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    """Fails where lm-eval's own answer to it, counting the document as wrong or a traceback, comes through."""
    write(tmp_path, task, [GOOD[task] | change])
    assert f"task {task!r}: " in refusal(tiny_folder, task, tmp_path)


@pytest.mark.system
def test_an_unreachable_hub_is_told_in_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.asking import measure\n"
        "try: measure(Path(sys.argv[1]), 'piqa')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_folder)],
        env={name: value for name, value in os.environ.items() if name != "LORAP_DATA"}
        | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("LorapError task 'piqa': documents (--data reads local ones) cannot be downloaded (")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_likelihood_that_is_not_finite_is_refused(value: float, tiny_folder: Path) -> None:
    """Fails where lm-eval's choice among NaNs, always the first, becomes an accuracy."""
    model = load_model(tiny_folder)
    with torch.no_grad():
        model.model.norm.weight[0] = value
    with pytest.raises(LorapError, match="task 'pydoc': a log-likelihood is"):
        measure_zeroshot(spec_of("pydoc", documents=4), model, load_tokenizer(tiny_folder), None, quiet=True)


def test_another_models_tokenizer_is_refused(tiny_folder: Path, stories: Path) -> None:
    with pytest.raises(LorapError, match="task 'pydoc': token ids outside the model's vocabulary of 300"):
        measure_zeroshot(spec_of("pydoc"), load_model(tiny_folder), load_tokenizer(stories), None, quiet=True)

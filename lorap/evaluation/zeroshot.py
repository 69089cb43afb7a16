"""Zero-shot accuracy in multiple-choice tasks: lm-eval's own prompts and metrics."""

import copy
import json
import math
import random
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorap.artifacts.specs import ZeroshotSpec
from lorap.errors import LorapError
from lorap.evaluation.harness import BATCH, ask, has_answer, load_task, undisturbed, wrap
from lorap.evaluation.streamed import Streamed
from lorap.evaluation.tasks import TASKS, data_folder, write_tasks
from lorap.files import sha256_text

METRICS = ("acc", "acc_norm")


def measure_zeroshot(
    spec: ZeroshotSpec,
    model: PreTrainedModel | Streamed,
    tokenizer: PreTrainedTokenizerBase,
    data: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    """Accuracies of a model in every task, with the protocol that they were measured by.

    ``answers`` has a digit for every document in the order of the rows, 1 where it was answered rightly: the
    difference of two models has a smaller error than either of them.

    Args:
        spec: The tasks, and how many documents of each are drawn with which seed.
        model: A causal language model, with an adapter or without, or streamed, for which all tasks are asked at once.
        tokenizer: Its tokenizer.
        data: A folder of TASK/SPLIT.parquet; None means the settings' folder below LORAP_DATA, else the hub.
        quiet: No progress bars.

    Raises:
        LorapError: A task is unknown, its documents cannot be had or are unusable, or a likelihood is not finite.
    """
    names = list(dict.fromkeys(spec.zeroshot.tasks))
    tasks: dict[str, dict[str, float | int]] = {}
    asked: dict[str, dict[str, Any]] = {}
    right: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="lorap-zeroshot-") as place, undisturbed(quiet):
        sources = write_tasks(names, data_folder(spec.zeroshot, data), Path(place))
        loaded = {name: load_task(name, Path(place), bool(sources[name])) for name in names}
        drawn = {name: _draw(spec, name, task) for name, task in loaded.items()}
        tokenizer = copy.deepcopy(tokenizer)  # lm-eval gives one without a padding token its own
        for some in [loaded] if isinstance(model, Streamed) else [{name: task} for name, task in loaded.items()]:
            lm = wrap(model, tokenizer)
            answers = ask(lm, some, drawn)
            for name, task in some.items():
                tasks[name] = _numbers(name, answers)
                right[name] = _right(answers["samples"][name])
                origin = sources[name] or _on_hub(name, task)
                asked[name] = origin | _asked(name, answers, drawn[name]) | {"batch": BATCH}
    protocol = _protocol(spec, model, lm.max_length) | {"tasks": asked}
    return {"tasks": tasks, "answers": right, "protocol": protocol}


def _on_hub(name: str, task: Any) -> dict[str, str]:
    """The hub's data set and the commit that it was read at, after which `datasets` names the folder of its cache."""
    cached = task.dataset[TASKS[name].split].cache_files
    return {"repo": task.config.dataset_path, "revision": Path(cached[0]["filename"]).parent.name if cached else ""}


def draw_rows(name: str, total: int, documents: int | None, seed: int) -> list[int]:
    """The rows of a task's documents that are asked, in ascending order; all of them where there are no more.

    In ascending order, because lm-eval asks in the order of the rows, whatever order it is given.
    """
    return sorted(random.Random(f"{seed} {name}").sample(range(total), min(documents or total, total)))


def _draw(spec: ZeroshotSpec, name: str, task: Any) -> list[int]:
    """The rows of a task that are asked, each of which must have a right answer."""
    documents = task.eval_docs
    rows = draw_rows(name, len(documents), spec.zeroshot.documents, spec.seed)
    for row, document in zip(rows, documents.select(rows), strict=True):
        if not has_answer(task, document):
            raise LorapError(
                f"task {name!r}: row {row} has no right answer among its choices, expected a labelled split"
            )
    return rows


def _numbers(name: str, answers: dict[str, Any]) -> dict[str, float | int]:
    """The metrics of a task with their standard errors, which a single document has not.

    Raises:
        LorapError: A log-likelihood is not finite; lm-eval would take an answer for the best nevertheless.
    """
    samples, found = answers["samples"][name], answers["results"][name]
    likelihoods = [value for sample in samples for request in sample["resps"] for value, _ in request]
    if wrong := [value for value in likelihoods if not math.isfinite(value)]:
        raise LorapError(f"task {name!r}: a log-likelihood is {wrong[0]}; try --dtype float32")
    keys = [f"{metric}{what}" for metric in METRICS for what in ("", "_stderr")]
    values = {key: found.get(f"{key},none") for key in keys}
    return {key: float(value) for key, value in values.items() if isinstance(value, float)} | {
        "documents": len(samples)
    }


def _right(samples: list[dict[str, Any]]) -> dict[str, str]:
    """Of every document whether it was answered rightly, by each metric that the task has."""
    return {
        metric: "".join(str(int(sample[metric])) for sample in samples)
        for metric in METRICS
        if all(metric in sample for sample in samples)
    }


def _asked(name: str, answers: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """What was asked of a task: which rows of how many, and in which words."""
    words = [[sample["arguments"], sample["target"]] for sample in answers["samples"][name]]
    return {
        "version": answers["versions"][name],
        "rows": answers["n-samples"][name]["original"],
        "drawn_sha256": sha256_text(json.dumps(rows)),
        "prompts_sha256": sha256_text(json.dumps(words)),
    }


def _protocol(spec: ZeroshotSpec, model: PreTrainedModel | Streamed, max_length: int) -> dict[str, Any]:
    """What holds for every task."""
    return {
        "documents": spec.zeroshot.documents or "all",
        "seed": spec.seed,
        "num_fewshot": 0,
        "chat_template": "none",
        "max_length": max_length,
        "lm_eval": version("lm_eval"),
        "dtype": str(model.dtype).removeprefix("torch."),
    }

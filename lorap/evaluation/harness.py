"""lm-eval, held at arm's length: it reads lorap's task files, and leaves the process and the model as they are."""

import io
import logging
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorap.data.hub import downloading
from lorap.errors import LorapError, first_line
from lorap.evaluation.answers import likelihoods
from lorap.evaluation.streamed import Streamed

BATCH = 16  # requests; fixed, since 16-bit numbers depend on what stands beside them in a batch
# What lm-eval raises for a document that is not as its task expects.
UNFIT = (ValueError, LookupError, TypeError, AttributeError, SyntaxError)


@contextmanager
def undisturbed(quiet: bool) -> Iterator[None]:
    """Hides the logs and warnings that lm-eval makes by the dozen, keeps stdout clean and the random numbers' state.

    ``quiet`` hides progress bars too: they cannot be switched off, but write to whatever stderr is at the time.
    """
    level, state = logging.root.manager.disable, random.getstate()
    logging.disable(logging.CRITICAL)
    bars = io.StringIO() if quiet else sys.stderr
    try:
        with warnings.catch_warnings(), redirect_stderr(bars), redirect_stdout(bars):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        random.setstate(state)  # lm-eval draws names for its tasks from it


def load_task(name: str, folder: Path, local: bool) -> Any:
    """A task of lm-eval with its documents; the folder's tasks are the only ones that lm-eval sees.

    Raises:
        LorapError: The documents cannot be downloaded, or are not as the task expects.
    """
    from datasets.exceptions import DatasetsError
    from jinja2 import TemplateError
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=folder, include_defaults=False)
    try:
        with nullcontext() if local else downloading(f"task {name!r}", "documents (--data reads local ones)"):
            task = manager.load([name])["tasks"][name]
    except (*UNFIT, DatasetsError, TemplateError) as error:
        raise LorapError(
            f"task {name!r}: its documents are not as lm-eval expects ({first_line(error.__cause__ or error)})"
        ) from error
    task.set_config("num_fewshot", 0)
    return task


def has_answer(task: Any, document: dict[str, Any]) -> bool:
    """Whether one of a document's choices, all of them texts, is the right one.

    A document without a right answer would count as one that was answered wrongly.
    """
    from jinja2 import TemplateError

    try:
        choices = task.doc_to_choice(document)
        answer = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    except (*UNFIT, TemplateError):
        return False
    if not all(isinstance(choice, str) and choice for choice in choices):
        return False
    return 0 <= answer < len(choices) if isinstance(answer, int) else answer in choices


def wrap(model: PreTrainedModel | Streamed, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The model as lm-eval wants it: as it is and where it is, its longest input from its configuration.

    Of one that stays on the disk lm-eval sees its configuration alone; the likelihoods are computed without it.

    The tokenizer gets a padding token where it has none.
    """
    from lm_eval.models.huggingface import HFLM

    class Checked(HFLM):
        """Ids that the model lacks are found before a GPU reads past the end of its embeddings and breaks down."""

        def _loglikelihood_tokens(self, requests: Any, *arguments: Any, **options: Any) -> Any:
            size = self.model.config.vocab_size
            if any(token >= size for _, context, answer in requests for token in (*context, *answer)):
                raise LorapError(
                    f"token ids outside the model's vocabulary of {size}; "
                    "the model folder holds another model's tokenizer"
                )
            if isinstance(model, Streamed):
                return likelihoods(model, requests, self.max_length, BATCH)
            return super()._loglikelihood_tokens(requests, *arguments, **options)

    return Checked(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=BATCH)


def ask(lm: Any, tasks: Mapping[str, Any], rows: Mapping[str, list[int]]) -> dict[str, Any]:
    """What lm-eval finds for some rows of each task, with its samples; it asks for all tasks at once.

    By ``evaluate``, since ``simple_evaluate`` also seeds every random generator and looks at the whole machine.

    Raises:
        LorapError: The tokenizer is not the model's.
    """
    from lm_eval import evaluate

    drawn = {name: rows[name] for name in tasks}
    try:
        return evaluate(lm=lm, task_dict={"tasks": dict(tasks)}, samples=drawn, cache_requests=False)
    except LorapError as error:
        raise LorapError(f"task {', '.join(map(repr, tasks))}: {error}") from error

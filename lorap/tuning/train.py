"""LoRA tuning with the Trainer of transformers: seeded, resumable, on one device or several (``lorap tune``)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from lorap.artifacts.names import HISTORY, TIMING
from lorap.artifacts.specs import TuneSpec
from lorap.data.corpora import corpus_file
from lorap.data.instructions import tuning_rows
from lorap.errors import LorapError
from lorap.files import write_json
from lorap.machine import needs
from lorap.machine.fit import require_place
from lorap.machine.spread import settle
from lorap.model.folder import DTYPES, load_model
from lorap.model.sizes import read_sizes
from lorap.model.tokenizer import load_tokenizer
from lorap.tuning.checkpoints import Seal, last_checkpoint
from lorap.tuning.lora import attach, save_adapter
from lorap.tuning.padded import require_no_padding
from lorap.tuning.start import Start
from lorap.tuning.watch import Watch, history_of

if TYPE_CHECKING:
    import datasets


def train(
    spec: TuneSpec,
    folder: Path,
    data: Path | None,
    checkpoints: Path,
    out: Path | None,
    device: torch.device,
    quiet: bool,
) -> None:
    """Tunes a model and writes adapter, history and timing; goes on from the checkpoints of a run that was cut short.

    A model that has no room on one GPU is spread over all that this process sees, and a step goes from one to the next.

    Args:
        spec: The settings.
        folder: The compressed model (or any that lorap can read).
        data: The file to tune on, where the spec names no source.
        checkpoints: A private folder; what it holds is read only if it comes from the same settings and model.
        out: The empty folder to fill; None in all but the first process of several.
        device: The CPU or a GPU; one without a number stands for all.
        quiet: No progress bar, and no word at the start.

    Raises:
        LorapError: Model or data cannot be used, the model is padded, the settings contradict each other, there is too
            little memory, or the loss diverges.
    """
    dtype, form = DTYPES.get(spec.tune.dtype), spec.tune.form
    most = needs.tune(read_sizes(folder / "config.json"), spec).device
    place = require_place(folder, dtype, device, form, comfort=most)
    start = Start(spec.tune.batch, place, most, quiet)
    model, tokenizer = load_model(folder, dtype, form=form), load_tokenizer(folder)
    require_no_padding(model, folder)
    rows, held_out, left_out = tuning_rows(spec, tokenizer, data)
    arguments = training_arguments(spec, checkpoints, model.dtype, device.type, quiet)
    logging.set_verbosity_error()
    set_seed(spec.seed)
    tuned = attach(model, spec.tune)
    if isinstance(place, dict):
        settle(model, place)
    watch = Watch()
    trainer = Trainer(
        model=tuned,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out,
        data_collator=_collator(tokenizer),
        callbacks=[start, watch, Seal()],
    )
    trainer.remove_callback(PrinterCallback)  # prints every loss, on standard output
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    trainer.evaluate()
    if out is None:
        return
    save_adapter(tuned, folder, out)
    counts = {"tuned_on": len(rows), "held_out": len(held_out), "left_out": left_out, "tokens": _tokens(rows)}
    write_json(out / HISTORY, {"rows": counts, "log": history_of(trainer.state.log_history)})
    write_json(out / TIMING, watch.timing())


def data_origin(spec: TuneSpec) -> dict[str, str]:
    """Where the rows come from: file, hash, and the hub's repository and commit if it is one's."""
    return {} if spec.source is None else corpus_file(spec.source, "tuning")


def training_arguments(
    spec: TuneSpec, checkpoints: Path, dtype: torch.dtype, device: str, quiet: bool
) -> TrainingArguments:
    """The Trainer's settings; several processes share a batch."""
    tune = spec.tune
    if dtype is torch.float16 and device == "cpu":
        raise LorapError("dtype: float16 tuning needs a GPU; choose bfloat16 or float32")
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        use_cpu=device == "cpu",
        bf16=dtype is torch.bfloat16,
        fp16=dtype is torch.float16,
        per_device_train_batch_size=tune.micro_batch,
        per_device_eval_batch_size=tune.micro_batch,
        learning_rate=tune.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=tune.warmup_steps,
        num_train_epochs=tune.epochs,
        max_steps=tune.max_steps or -1,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=tune.evaluate_every,
        eval_on_start=True,
        save_steps=tune.evaluate_every,
        save_total_limit=2,  # the last one is not sealed yet when older ones are removed
        activation_checkpointing=tune.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        seed=spec.seed,
        report_to=[],
        disable_tqdm=quiet,
        label_names=["labels"],
        ddp_find_unused_parameters=False,
    )
    together = tune.micro_batch * arguments.world_size
    if tune.batch % together:
        raise LorapError(f"batch: {tune.batch} is no multiple of micro_batch x processes, {together}; change one")
    arguments.gradient_accumulation_steps = tune.batch // together
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs are torchrun's business, not DataParallel's
    return arguments


def _collator(tokenizer: PreTrainedTokenizerBase) -> DataCollatorForSeq2Seq:
    if tokenizer.pad_token is None:  # padding has neither attention nor loss, so any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return DataCollatorForSeq2Seq(tokenizer, padding=True, pad_to_multiple_of=8, return_tensors="pt")


def _tokens(rows: "datasets.Dataset") -> int:
    return sum(len(ids) for ids in rows["input_ids"])

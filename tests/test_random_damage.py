"""Whatever is damaged at random: a command accepts it or says in one line what is wrong, and leaves nothing behind."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from transformers import LlamaConfig

from lorap.data.corpora import pydoc_rows
from tests.command import succeed
from tests.conftest import SMALL, save_random_model
from tests.damages import GGUF, JSON, SAFETENSORS, Damage
from tests.gguf_file import write_gguf
from tests.limits import assert_accepted_or_refused, bounded
from tests.plans import planned_folder

pytestmark = pytest.mark.thorough

FEW, MANY = 7, 80  # damages of each file: more than 100 and 1000 of all
DATA = ("--calibration", "c.st")
COUNTED = ("--text", "book.txt", "--seqlen", 8)
COMMANDS: dict[str, tuple[object, ...]] = {
    "show": ("show",),
    "plan": ("plan", "--sparsity", 0.5),
    "calibrate": ("calibrate", *COUNTED, "--nsamples", 2),
    "compress": ("compress", *DATA, "--sparsity", 0.5),
    "perplexity": ("evaluate", "perplexity", *COUNTED, "--windows", 2),
    "fetch": ("fetch",),
    "export": ("export",),
    "join": ("redecompose", "--adapter", "adapter"),
    "cut back": ("redecompose", "--adapter", "adapter", "--rank", "k", *DATA),
    "perplexity of adapter": ("evaluate", "perplexity", "--adapter", "adapter", *COUNTED, "--windows", 2),
}
PRINT = ("show", "plan")  # and write nothing
DENSE = ("show", "plan", "calibrate", "compress", "perplexity", "fetch")
WORDS = ("calibrate", "compress", "perplexity", "fetch")
WEIGHTS = ("show", "compress", "perplexity", "fetch")
FACTORED = ("show", "perplexity", "export", "fetch", "join", "cut back")
ODD = ("show", "perplexity", "export", "fetch")  # a model of a plan that says all that a plan can say
ADAPTER = ("join", "cut back", "perplexity of adapter")
# Of every file: how it may be damaged, the model that commands are given, and the commands that read it.
FILES: dict[str, tuple[tuple[Damage, ...], str, tuple[str, ...]]] = {
    "model/config.json": (JSON, "model", DENSE),
    "model/tokenizer.json": (JSON, "model", WORDS),
    "model/tokenizer_config.json": (JSON, "model", WORDS),
    "model/special_tokens_map.json": (JSON, "model", WORDS),
    "model/added_tokens.json": (JSON, "model", WORDS),
    "model/generation_config.json": (JSON, "model", WORDS),
    "model/model.safetensors": (SAFETENSORS, "model", WEIGHTS),
    "sharded/model.safetensors.index.json": (JSON, "sharded", WEIGHTS),
    "sharded/model-00002-of-00003.safetensors": (SAFETENSORS, "sharded", WEIGHTS),
    "small/config.json": (JSON, "small", FACTORED),
    "small/model.safetensors": (SAFETENSORS, "small", FACTORED),
    "odd/config.json": (JSON, "odd", ODD),
    "odd/model.safetensors": (SAFETENSORS, "odd", ODD),
    "adapter/adapter_config.json": (JSON, "small", ADAPTER),
    "adapter/adapter_model.safetensors": (SAFETENSORS, "small", ADAPTER),
    "adapter/meta.json": (JSON, "small", ADAPTER),
    "c.st": (SAFETENSORS, "model", ("compress",)),
    "manifest.json": (JSON, "manifest.json", ("show", "fetch")),
    "tiny.gguf": (GGUF, "tiny.gguf", ("fetch",)),
}


@pytest.fixture(scope="module")
def sound(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model in every form, an adapter, calibration windows and a text, all of them sound."""
    small = SMALL | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = LlamaConfig(**small, num_key_value_heads=2, tie_word_embeddings=True)
    folder = tmp_path_factory.mktemp("sound")
    with contextlib.chdir(folder):
        save_random_model(config, Path("model"), tokenizer_folder)
        save_random_model(config, Path("sharded"), tokenizer_folder, max_shard_size="40KB")
        token = {"content": "<unk>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": token, "additional_special_tokens": ["<s>"]}
        Path("model/special_tokens_map.json").write_text(json.dumps(special))
        Path("model/added_tokens.json").write_text(json.dumps({"<unk>": 0, "<s>": 1, "</s>": 2}))
        Path("book.txt").write_text(pydoc_rows("tuning")[0][:4000])
        succeed(*COMMANDS["calibrate"], "--model", "model", "--out", "c.st")
        succeed(*COMMANDS["compress"], "--model", "model", "--out", "small")
        few = ("--cutoff", 8, "--rows", 6, "--held-out", 2, "--batch", 4, "--micro-batch", 4, "--max-steps", 1)
        tune = ("tune", "--model", "small", "--data", "book.txt", "--form", "factored", "--rank", 2, *few)
        succeed(*tune, "--out", "adapter")
        succeed("fetch", "model", "--out", "fetched")
        Path("fetched/meta.json").rename("manifest.json")
        planned_folder(config, Path("odd"), seed=0)
        for file in tokenizer_folder.iterdir():
            shutil.copyfile(file, Path("odd", file.name))
        write_gguf(Path("model"), Path("tiny.gguf"))
    return folder


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_accepted_or_refused_in_one_line(sound: Path, tmp_path: Path, file: str) -> None:
    damage_each(file, range(FEW), sound, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_one_of_many_damages_is_accepted_or_refused_in_one_line(sound: Path, tmp_path: Path, file: str) -> None:
    damage_each(file, range(FEW, FEW + MANY), sound, tmp_path)


def damage_each(file: str, numbers: range, sound: Path, folder: Path) -> None:
    """Damages copies of a file, each in its own way, and gives each to a command."""
    damages, model, commands = FILES[file]
    for each in numbers:
        random, place = Random(f"{file} {each}"), folder / str(each)
        damage, command = random.choice(damages), random.choice(commands)
        copy_sound(sound, place, file.split("/")[0])
        damage(random, place / file)
        with naming(f"{file} {each}: {damage.__name__}, then {command}"), bounded(), contextlib.chdir(place):
            assert_accepted_or_refused(*arguments(command, model))


def arguments(command: str, model: str) -> tuple[object, ...]:
    """What is typed to have a command read a model, or what stands in its place, and write ``out``."""
    given = (model,) if command in ("show", "fetch") else ("--model", model)
    return *COMMANDS[command], *given, *(() if command in PRINT else ("--out", "out"))


def copy_sound(sound: Path, folder: Path, owner: str) -> None:
    """The working folder of a command: a copy of what is to be damaged, and links to the rest."""
    folder.mkdir()
    for path in sound.iterdir():
        if path.name != owner:
            (folder / path.name).symlink_to(path)
    copy = shutil.copytree if (sound / owner).is_dir() else shutil.copyfile
    copy(sound / owner, folder / owner)


@contextlib.contextmanager
def naming(case: str) -> Iterator[None]:
    """Adds to whatever goes wrong what it went wrong with."""
    try:
        yield
    except BaseException as error:
        error.add_note(case)
        raise

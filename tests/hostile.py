"""Code that leaves a mark when it is run, as pickles and as the Python files that a model folder may name."""

import json
import pickle
from pathlib import Path

MARK = "this code was run"
PICKLES = ("pytorch_model.bin", "tokenizer.pkl", "tokenizer.bin", "training_args.bin", "adapter_model.bin")
MODULES = ("configuration_evil", "modeling_evil", "tokenizer_evil", "vocab_evil", "chat_template_evil")


class Bomb:
    """An object that leaves the mark when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / MARK

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def bomb(folder: Path) -> bytes:
    """A pickle that leaves the mark in a folder."""
    return pickle.dumps(Bomb(folder))


def code(folder: Path) -> str:
    """Python that leaves it when it is imported."""
    return f"from pathlib import Path\nPath({str(folder / MARK)!r}).touch()\nclass Evil: pass\n"


def was_run(folder: Path) -> bool:
    return (folder / MARK).exists()


def change(file: Path, **settings: object) -> None:
    """Changes keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def plant(model: Path, folder: Path) -> None:
    """Puts into a model folder all that could be run, and names it in its settings."""
    for name in MODULES:
        (model / f"{name}.py").write_text(code(folder))
    (model / "custom_generate").mkdir()
    (model / "custom_generate/generate.py").write_text(code(folder))
    for name in PICKLES:
        (model / name).write_bytes(bomb(folder))
    classes = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    change(model / "config.json", auto_map=classes)
    change(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenizer_evil.Evil"] * 2})
    (model / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")

"""A GGUF file as a plain folder; what its header announces must be in the file, for its readers do not check that."""

import math
import mmap
import shutil
import struct
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

from lorap.errors import LorapError
from lorap.model.folder import DTYPES, skeleton
from lorap.model.reading import reading
from lorap.model.sizes import MOST

MAGIC = b"GGUF"
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # by GGUF type
TEXT, ARRAY = 8, 9
LONGEST = 2**24  # of a list; the largest vocabularies have a quarter of a million tokens
DIMENSIONS = 4  # of a tensor, at most
LAYERS = b".block_count"


def convert_gguf(file: Path, out: Path, dtype: str) -> None:
    """Unpacks a GGUF file into a plain folder of one dtype.

    Raises:
        LorapError: transformers cannot read it, or it lacks a part of the model.
    """
    damaged = f"{file.name}: cannot be read as GGUF"
    with reading(damaged):
        held = count_weights(file)
    alone = out / "gguf"  # transformers would read what lies beside the file too
    alone.mkdir()
    (alone / file.name).symlink_to(file.resolve())
    where = {"pretrained_model_name_or_path": alone, "gguf_file": file.name}
    unpacked = {"dtype": DTYPES["bfloat16" if dtype == "auto" else dtype]}
    with reading(damaged):
        expected = skeleton(AutoConfig.from_pretrained(**where, trust_remote_code=False)).num_parameters()
        if held < expected:
            raise ValueError(f"it holds {held:,} weights of a model of {expected:,}")
        model, loaded = AutoModelForCausalLM.from_pretrained(
            **where,
            **unpacked,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(**where, trust_remote_code=False)
    if missing := sorted(loaded["missing_keys"]):
        raise LorapError(f"{damaged} (no tensor for {missing[0]})")
    shutil.rmtree(alone)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def count_weights(file: Path) -> int:
    """The number of weights in a GGUF file by its header, which is read to its end, as transformers will.

    Raises:
        ValueError: It goes beyond the end of the file, or announces more than any model has.
        KeyError: A value is of a type that GGUF does not have.
        struct.error: The file ends within a number.
    """
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _Header(data)
        for _ in range(header.keys):
            name = header.text()
            value = header.value(header.number("I"))
            if name.endswith(LAYERS) and value > MOST:
                raise ValueError(f"{name.decode(errors='replace')}: got {value}, expected at most {MOST}")
        return sum(header.tensor() for _ in range(header.tensors))


class _Header:
    """The header of a GGUF file, read from its beginning to its end."""

    def __init__(self, data: mmap.mmap) -> None:
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError(f"it does not begin with {MAGIC.decode()}")
        self.data, self.at = data, len(MAGIC)
        self.order = "<" if struct.unpack_from("<I", data, self.at)[0] & 0xFFFF else ">"  # the version is small
        _version, self.tensors, self.keys = (self.number(kind) for kind in "IQQ")

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(self.order + kind, self.data, self.at)
        self.at += struct.calcsize(self.order + kind)
        return value

    def text(self) -> bytes:
        size = self.number("Q")
        self._skip(size)
        return self.data[self.at - size : self.at]

    def value(self, kind: int) -> int:
        """A number; of texts and lists, which are passed over, the size."""
        if kind == TEXT:
            return len(self.text())
        return self._list() if kind == ARRAY else self.number(NUMBERS[kind])

    def tensor(self) -> int:
        """The weights of a tensor."""
        self.text()
        dimensions = self.number("I")
        if dimensions > DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        shape = [self.number("Q") for _ in range(dimensions)]
        self._skip(struct.calcsize("=IQ"))  # its type, and where it is
        return math.prod(shape)

    def _list(self) -> int:
        kind, count = self.number("I"), self.number("Q")
        if count > LONGEST:
            raise ValueError(f"a list of {count} values")
        if kind in NUMBERS:
            self._skip(count * struct.calcsize(self.order + NUMBERS[kind]))
        else:
            for _ in range(count):
                self.value(kind)
        return count

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise ValueError(f"{size} bytes announced, {len(self.data)} in the file")

"""The calibration file: what it says of itself, and which files are refused."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lorap.artifacts.specs import CalibrateSpec
from lorap.data.calibration import read_calibration, rows_hash, tokenizer_hash, write_calibration
from lorap.data.corpora import load_rows, pydoc_rows
from lorap.data.draw import calibrate
from lorap.data.windows import draw_windows
from lorap.errors import LorapError
from lorap.settings.sources import FilesCorpus, PydocCorpus, TextSource


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tokenizer_folder)


def spec(source: TextSource | None, corpus: str = "any") -> CalibrateSpec:
    return CalibrateSpec(corpus=corpus, source=source, nsamples=6, seqlen=16, seed=3)


def test_a_file_reads_back_as_it_was_written(tmp_path: Path, windows: Tensor) -> None:
    path = tmp_path / "c.safetensors"
    write_calibration(path, windows[:, ::2], {"corpus": "any"})
    assert torch.equal(read_calibration(path, None), windows[:, ::2])


def test_a_file_of_another_tool_needs_no_metadata(
    tmp_path: Path, windows: Tensor, tokenizer: PreTrainedTokenizerBase
) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"input_ids": windows}, path)
    assert torch.equal(read_calibration(path, tokenizer), windows)


def test_a_file_of_another_tokenizer_is_refused_and_one_of_the_same_is_not(
    tmp_path: Path, windows: Tensor, tokenizer_folder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    path = tmp_path / "c.safetensors"
    write_calibration(path, windows, {"tokenizer": tokenizer_hash(tokenizer)})
    assert torch.equal(read_calibration(path, tokenizer), windows)
    other = AutoTokenizer.from_pretrained(tokenizer_folder)
    other.add_tokens(["<another>"])
    with pytest.raises(LorapError, match=f"^{path}: was made with another tokenizer"):
        read_calibration(path, other)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (
            {"input_ids": torch.ones(2, 8, dtype=torch.int32)},
            r"torch.int32 \(2, 8\), expected int64 \(nsamples",
        ),
        ({"input_ids": torch.ones(2, 8)}, "torch.float32"),
        ({"input_ids": torch.ones(8, dtype=torch.int64)}, r"torch.int64 \(8,\)"),
        ({"input_ids": torch.ones(0, 8, dtype=torch.int64)}, r"\(0, 8\)"),
        ({"ids": torch.ones(2, 8, dtype=torch.int64)}, "no tensor input_ids"),
    ],
)
def test_a_tensor_that_is_no_set_of_windows_is_refused(tmp_path: Path, tensors: dict[str, Tensor], told: str) -> None:
    path = tmp_path / "c.safetensors"
    save_file(tensors, path)
    with pytest.raises(LorapError, match=f"^{path}: .*{told}"):
        read_calibration(path, None)


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, windows: Tensor, size: int) -> None:
    path = tmp_path / "c.safetensors"
    write_calibration(path, windows, {})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LorapError, match=f"^{path}: damaged"):
        read_calibration(path, None)


def test_the_file_records_where_its_windows_came_from(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    path = tmp_path / "c.safetensors"
    calibrate(spec(PydocCorpus(source="pydoc"), "pydoc"), tokenizer, None, path)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {
            "corpus": "pydoc",
            "text_sha256": rows_hash(pydoc_rows("calibration")),
            "tokenizer": tokenizer_hash(tokenizer),
            "seed": "3",
            "nsamples": "6",
            "seqlen": "16",
        }


def test_the_same_content_is_the_same_bytes(tmp_path: Path, windows: Tensor) -> None:
    origin = {name: f"{name}, Grüße" for name in ("corpus", "tokenizer", "seed", "nsamples", "seqlen", "text_sha256")}
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        write_calibration(file, windows, origin)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], framework="pt") as file:
        assert file.metadata() == origin
        assert torch.equal(file.get_tensor("input_ids"), windows)


def test_a_text_file_is_one_text(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    text = "\n".join(pydoc_rows("tuning")[:2])
    (tmp_path / "text.txt").write_text(text)
    calibrate(spec(None), tokenizer, tmp_path / "text.txt", tmp_path / "c.safetensors")
    found = read_calibration(tmp_path / "c.safetensors", tokenizer)
    assert torch.equal(found, draw_windows(tokenizer, [text], 6, 16, 3))


def test_a_corpus_with_a_join_is_one_text_and_one_without_is_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: PreTrainedTokenizerBase
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(tmp_path))
    (tmp_path / "rows.txt").write_text("\n".join(pydoc_rows("tuning")[:2]))
    rows = FilesCorpus(source="files", local={"calibration": "rows.txt"})
    joined = rows.model_copy(update={"join": {"calibration": " "}})
    lines = load_rows(rows, "calibration")
    assert len(lines) > 10
    for source, expected in ((rows, lines), (joined, [" ".join(lines)])):
        calibrate(spec(source), tokenizer, None, tmp_path / "c.safetensors")
        found = read_calibration(tmp_path / "c.safetensors", tokenizer)
        assert torch.equal(found, draw_windows(tokenizer, expected, 6, 16, 3))


def test_rows_that_are_split_elsewhere_have_another_hash() -> None:
    assert len({rows_hash(rows) for rows in (["ab"], ["a", "b"], ["a", "", "b"], ["ab", ""])}) == 4

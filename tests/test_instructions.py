"""What a tuned model learns from: the Alpaca form, a loss on the response only, and text cut into rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from lorap.artifacts.specs import TuneSpec
from lorap.data.instructions import IGNORED, instruction_example, read_instructions, text_examples, tuning_rows
from lorap.errors import LorapError
from lorap.model.tokenizer import load_tokenizer
from tests.adapters import TUNE

ROW = {"instruction": "Name a colour.", "input": "", "output": "Blue."}


@pytest.fixture
def tokenizer(tiny_folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny_folder)


def spec(**changes: object) -> TuneSpec:
    return TuneSpec(tune=TUNE.model_copy(update=changes), source=None, seed=0)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_loss_is_on_the_response_and_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    example = instruction_example(tokenizer, ROW, 512)
    learnt = [label for label in example["labels"] if label != IGNORED]
    assert tokenizer.decode(learnt) == "Blue.</s>"
    assert tokenizer.decode(example["input_ids"]).endswith("### Response:\nBlue.</s>")
    assert "### Input" not in tokenizer.decode(example["input_ids"])
    assert len(example["labels"]) == len(example["input_ids"])


def test_an_input_has_a_part_of_its_own(tokenizer: PreTrainedTokenizerBase) -> None:
    text = tokenizer.decode(instruction_example(tokenizer, ROW | {"input": "sky"}, 512)["input_ids"])
    assert "### Instruction:\nName a colour.\n\n### Input:\nsky\n\n### Response:\nBlue." in text


def test_a_cut_response_has_no_end(tokenizer: PreTrainedTokenizerBase) -> None:
    whole = instruction_example(tokenizer, ROW, 512)["input_ids"]
    cut = instruction_example(tokenizer, ROW, len(whole) - 2)
    assert cut["input_ids"] == whole[:-2]
    assert cut["labels"][-1] == whole[-3]


def test_text_is_cut_without_overlap_and_the_rest_dropped(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("one two three four five")["input_ids"]
    rows = text_examples(tokenizer, "one two three four five", 4)
    assert [i for row in rows for i in row["input_ids"]] == ids[: len(ids) // 4 * 4]
    assert all(row["labels"] == row["input_ids"] for row in rows)


def test_held_out_rows_are_never_trained_on_and_the_split_follows_its_seed(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    data = write(tmp_path / "rows.jsonl", [ROW | {"output": f"Number {i}."} for i in range(30)])
    settings = {"cutoff": 512, "held_out": 5, "rows": 20}
    rows, held_out, left_out = tuning_rows(spec(**settings), tokenizer, data)
    assert (len(rows), len(held_out), left_out) == (15, 5, 0)
    texts = [{tokenizer.decode(row["input_ids"]) for row in part} for part in (rows, held_out)]
    assert len(texts[0] | texts[1]) == 20
    same = tuning_rows(spec(**settings), tokenizer, data)[0]
    other = tuning_rows(spec(**settings, split_seed=1), tokenizer, data)[0]
    assert rows["input_ids"] == same["input_ids"] != other["input_ids"]


def test_a_share_of_the_rows_can_be_held_out(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [ROW] * 30)
    for share, held in ((0.1, 3), (0.001, 1)):
        rows, held_out, _ = tuning_rows(spec(cutoff=512, held_out=share), tokenizer, data)
        assert (len(rows), len(held_out)) == (30 - held, held)


def test_rows_without_a_response_inside_the_cutoff_are_left_out_and_counted(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    long = ROW | {"input": "word " * 400}
    data = write(tmp_path / "rows.jsonl", [ROW, long, ROW, ROW, long])
    rows, held_out, left_out = tuning_rows(spec(cutoff=256, held_out=1), tokenizer, data)
    assert (len(rows), len(held_out), left_out) == (2, 1, 2)
    with pytest.raises(LorapError, match=r"rows.jsonl: no row has a response within 16 tokens; raise the cutoff"):
        tuning_rows(spec(cutoff=16), tokenizer, data)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [ROW, {"instruction": "a", "input": ""}],
            "row 2 has no text in 'output', expected instruction, input, output",
        ),
        ([ROW, ROW, ROW | {"instruction": None}], "row 3 has no text in 'instruction'"),
        ([{"text": "a"}], "row 1 has no 'instruction'"),
        ([{"instruction": "a", "output": 5}], "row 1 has no text in 'output'"),
    ],
)
def test_a_row_without_its_fields_is_named(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(LorapError) as raised:
        read_instructions(write(tmp_path / "rows.jsonl", rows))
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 'rows.jsonl'}: ")


def test_rows_without_an_input_field_are_instructions_too(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [{"instruction": "a", "output": "b"}])
    assert read_instructions(data) == [{"instruction": "a", "input": "", "output": "b"}]


def test_too_few_rows_are_refused(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [ROW] * 5)
    with pytest.raises(LorapError, match=r"5 rows, expected at least 6 .5 of them held out.; lower rows or held_out"):
        tuning_rows(spec(cutoff=512, held_out=5), tokenizer, data)
    with pytest.raises(LorapError, match="5 rows, expected at least 9 "):
        tuning_rows(spec(cutoff=512, held_out=2, rows=9), tokenizer, data)


def test_the_published_instructions_have_their_fields(lorap_data: Path) -> None:
    assert len(read_instructions(lorap_data / "data/instruct/alpaca_random6k.jsonl.gz")) == 6000

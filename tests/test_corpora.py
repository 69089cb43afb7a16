"""Corpora: what a row is, for every kind of file, and where a split comes from."""

import gzip
import hashlib
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lorap.data.corpora import corpus_file, load_rows, pydoc_rows, read_rows, read_text
from lorap.errors import LorapError
from lorap.settings.config import DEFAULTS, load_params
from lorap.settings.sources import FilesCorpus, Split
from tests.command import fault, launch

SPLITS: tuple[Split, ...] = ("calibration", "tuning", "evaluation")
ROWS = ["first row", "", "third row\nof two lines", "zażółć"]


def corpus(name: str) -> FilesCorpus:
    found = load_params(DEFAULTS).corpora[name]
    assert isinstance(found, FilesCorpus)
    return found


def written(path: Path, rows: list[str], column: str = "text") -> Path:
    """The rows in a file of the kind that its name says."""
    data = "".join(json.dumps({"id": index, column: row}) + "\n" for index, row in enumerate(rows)).encode()
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"id": range(len(rows)), column: rows}), path)
    else:
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_no_split_of_the_python_reference_has_a_paragraph_of_another() -> None:
    paragraphs = [{part.strip() for row in pydoc_rows(split) for part in row.split("\n\n")} for split in SPLITS]
    assert min(map(len, paragraphs)) > 300
    assert sum(map(len, paragraphs)) == len(set.union(*paragraphs))


@pytest.mark.parametrize(("split", "share"), [("calibration", 0.4), ("tuning", 0.35), ("evaluation", 0.25)])
def test_every_split_of_the_python_reference_has_its_share(split: Split, share: float) -> None:
    sizes = {name: sum(map(len, pydoc_rows(name))) for name in SPLITS}
    assert sizes[split] / sum(sizes.values()) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json.gz", "rows.parquet"])
def test_rows_of_a_table_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    rows = read_rows(written(tmp_path / name, ROWS, "sentence"), "sentence")
    assert list(rows) == ROWS
    assert rows[3] == ROWS[3]


@pytest.mark.parametrize("name", ["rows.txt", "rows.txt.gz", "rows.raw", "rows.raw.gz", "rows"])
def test_rows_of_plain_text_are_its_lines(tmp_path: Path, name: str) -> None:
    data = b" a title \n \nno > end\x0cof\xe2\x80\xa8line"
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    assert list(read_rows(path)) == ["a title", "", "no > end\x0cof\u2028line"]


def test_wikitext_lines_keep_their_end_and_blank_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "wiki.raw"
    path.write_text(" \n = Title = \n \n A sentence . \n")
    assert list(read_rows(path, keep_line_ends=True)) == ["", " = Title = \n", "", " A sentence . \n"]


def test_a_split_may_be_some_rows_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAP_DATA", str(tmp_path))
    written(tmp_path / "rows.jsonl", ROWS)
    places: dict[Split, str] = dict.fromkeys(SPLITS, "rows.jsonl")
    source = FilesCorpus(source="files", local=places, rows={"calibration": [0, 1], "evaluation": [1, 4]})
    assert [*load_rows(source, "calibration"), *load_rows(source, "evaluation")] == list(load_rows(source, "tuning"))
    assert corpus_file(source, "evaluation").items() >= {"file": "rows.jsonl", "part": "rows 1 to 3"}.items()
    assert "part" not in corpus_file(source, "tuning")
    longer = source.model_copy(update={"rows": {"evaluation": [1, 5]}})
    with pytest.raises(LorapError, match=r"rows\.jsonl: rows 1 to 4 asked for, it has 4; correct the corpus's rows$"):
        load_rows(longer, "evaluation")


def test_a_corpus_without_ranges_is_described_as_before_there_were_any() -> None:
    """Else every calibration and measurement that was made before would be out of date."""
    assert "rows" not in corpus("wikitext2").model_dump(mode="json")
    assert corpus("c4-part").model_dump(mode="json")["rows"] == {"calibration": [0, 190], "evaluation": [220, 300]}


def test_parts_to_calibrate_on_to_choose_by_and_to_report_have_no_row_in_common(
    lorap_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(lorap_data))
    wiki, c4 = corpus("wikitext2-valid"), corpus("c4-part")
    first, rest = load_rows(wiki, "calibration"), load_rows(wiki, "evaluation")
    shares = [sum(map(len, part)) for part in (first, rest)]
    assert shares[0] / sum(shares) == pytest.approx(0.70, abs=0.01)
    assert rest[0] == " = Military history of Australia = \n"
    assert len(first) + len(rest) == len(read_text(lorap_data / wiki.local["evaluation"]).splitlines())
    parts = [load_rows(c4, "calibration"), load_rows(corpus("c4-choice"), "evaluation"), load_rows(c4, "evaluation")]
    assert len({row for part in parts for row in part}) == sum(map(len, parts)) == 300


def test_a_missing_column_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(LorapError, match=f"^{path}: no column 'sentence', expected one of id, text$"):
        read_rows(path, "sentence")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", b'{"text": "a"}\nnot json\n'),
        ("empty.jsonl", b""),
        ("numbers.jsonl", b'{"text": 1}\n'),
        ("gap.jsonl", b'{"text": "a"}\n{"other": "b"}\n'),
        ("rows.jsonl.gz", b"no gzip"),
        ("rows.parquet", b"PAR1 garbage"),
        ("empty.parquet", b""),
        ("rows.txt", b"\xff\xfe\x00"),
        ("rows.txt.gz", b"no gzip"),
        ("cut.txt.gz", gzip.compress(b"text " * 999, mtime=0)[:-20]),
        ("damaged.txt.gz", gzip.compress(b"text " * 999, mtime=0)[:30] + b"\xff" * 20),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(LorapError, match=f"^{path}: ") as raised:
        read_rows(path)
    assert len(str(raised.value).splitlines()) == 1


def test_the_published_evaluation_text_of_wikitext2(lorap_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAP_DATA", str(lorap_data))
    files = {entry["file"]: entry for entry in json.loads((lorap_data / "data/MANIFEST.json").read_text())["files"]}
    wiki = corpus("wikitext2")
    entry, rows = files[wiki.local["evaluation"]], load_rows(wiki, "evaluation")
    assert corpus_file(wiki, "evaluation") == {"file": entry["file"], "sha256": entry["sha256"]}
    assert len(rows) == entry["rows"]
    raw = read_text(lorap_data / entry["file"])
    assert hashlib.sha256(raw.encode()).hexdigest() == entry["text_sha256"]
    assert "".join(row or " \n" for row in rows) == raw  # a row is a line as it stands, but that a blank one is empty
    assert wiki.join["evaluation"].join(rows).startswith("\n\n = Robert Boulter = \n\n\n\n\n Robert Boulter is an")


def test_sentences_of_the_penn_treebank_have_no_ends(lorap_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAP_DATA", str(lorap_data))
    rows = load_rows(corpus("ptb"), "evaluation")
    assert len(rows) == 3370
    assert all(row == row.strip() != "" for row in rows)
    assert sum(row.count("<unk>") for row in rows) > 1000


@pytest.mark.parametrize("name", ["books", "c4", "wikitext2", "ptb"])
def test_every_local_calibration_text_has_rows(lorap_data: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LORAP_DATA", str(lorap_data))
    rows = load_rows(corpus(name), "calibration")
    assert max(len(rows[index]) for index in range(min(len(rows), 300))) > 100


def test_a_local_file_that_is_missing_is_not_replaced_by_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(tmp_path))
    with pytest.raises(LorapError, match=r"wiki\.test\.raw\.gz: no such file; correct LORAP_DATA"):
        load_rows(corpus("wikitext2"), "evaluation")


def test_a_split_that_a_corpus_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORAP_DATA", raising=False)
    for name, split in (("c4", "evaluation"), ("books", "tuning")):
        with pytest.raises(LorapError, match=f"no {split} text on the hub"):
            load_rows(corpus(name), split)  # type: ignore[arg-type]


@pytest.mark.system
def test_without_a_network_the_line_names_the_repository(tiny_folder: Path, tmp_path: Path) -> None:
    out = ("--out", "c.safetensors")
    offline = {"HF_HUB_OFFLINE": "1", "LORAP_DATA": "", "HF_HOME": str(tmp_path / "hub")}
    line = fault(launch(tmp_path, "calibrate", "--model", tiny_folder, "--corpus", "wikitext2", *out, **offline))
    assert line.startswith("Salesforce/wikitext: wikitext-2-raw-v1/train-00000-of-00001.parquet cannot be downloaded (")
    assert not (tmp_path / "c.safetensors").exists()

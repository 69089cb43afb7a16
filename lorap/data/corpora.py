"""Corpora: rows of text by split, from the hub, a local file, or Python's own reference."""

import gzip
import io
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorap.data.hub import downloading
from lorap.errors import LorapError
from lorap.files import sha256_file
from lorap.settings.sources import Files, FilesCorpus, PydocCorpus, Split

if TYPE_CHECKING:
    import datasets

LOCAL_ROOT = "LORAP_DATA"
PYDOC_SHARES: dict[Split, float] = {"calibration": 0.4, "tuning": 0.35, "evaluation": 0.25}  # of the characters


def load_rows(corpus: FilesCorpus | PydocCorpus, split: Split) -> Sequence[str]:
    """The rows of one split.

    Raises:
        LorapError: The corpus has no such split, its file is missing or lacks the column, or has too few rows.
    """
    if isinstance(corpus, PydocCorpus):
        return pydoc_rows(split)
    path = split_file(corpus, split)
    rows = read_rows(path, corpus.column, corpus.line_ends == "keep")
    if split not in corpus.rows:
        return rows
    first, end = corpus.rows[split]
    if end > len(rows):
        raise LorapError(f"{path}: rows {first} to {end - 1} asked for, it has {len(rows)}; correct the corpus's rows")
    return rows[first:end]


def corpus_file(corpus: Files | PydocCorpus, split: Split) -> dict[str, str]:
    """Where a split comes from, for a protocol.

    The file's name and hash, the hub's repository if it is one's, and the rows taken if they are not all.
    """
    if isinstance(corpus, PydocCorpus):
        return {"file": "pydoc_data.topics"}
    taken = _rows_taken(corpus, split)
    if local := _local_path(corpus, split):
        return {"file": corpus.local[split], "sha256": sha256_file(local)} | taken
    path = _hub_path(corpus, split)
    commit = path.parts[path.parts.index("snapshots") + 1]  # of the hub's cache
    origin = {"file": corpus.files[split], "sha256": sha256_file(path), "repo": str(corpus.repo), "revision": commit}
    return origin | taken


def _rows_taken(corpus: Files, split: Split) -> dict[str, str]:
    if not isinstance(corpus, FilesCorpus) or split not in corpus.rows:
        return {}
    first, end = corpus.rows[split]
    return {"part": f"rows {first} to {end - 1}"}


def pydoc_rows(split: Split) -> list[str]:
    """Topics of the Python reference, each paragraph once, dealt to the splits by size.

    Topics quote each other at length. A paragraph stays where it stands first, so no split has text of another.
    """
    from pydoc_data.topics import topics

    seen: set[str] = set()
    rows: dict[Split, list[str]] = {name: [] for name in PYDOC_SHARES}
    sizes = dict.fromkeys(PYDOC_SHARES, 0)
    for name in sorted(topics):
        fresh = [part for part in topics[name].split("\n\n") if part.strip() and part.strip() not in seen]
        seen.update(part.strip() for part in fresh)
        neediest = min(PYDOC_SHARES, key=lambda name: sizes[name] / PYDOC_SHARES[name])
        if fresh:
            rows[neediest].append("\n\n".join(fresh))
            sizes[neediest] += len(rows[neediest][-1])
    return rows[split]


def read_text(path: Path) -> str:
    """A plain text file, gzipped or not, as one string.

    Raises:
        LorapError: The file cannot be read or is not UTF-8 text.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise LorapError(f"{path}: cannot be read as text ({error})") from error


def read_rows(path: Path, column: str = "text", keep_line_ends: bool = False) -> Sequence[str]:
    """Rows of a .parquet, .jsonl, .json or plain text file, the last three gzipped or not.

    Args:
        path: The file.
        column: The field that holds the text; plain text has none, its rows are its lines.
        keep_line_ends: Of plain text: keep each line as it is, except that a blank one is empty; else strip it.

    Raises:
        LorapError: The file cannot be read, or a row lacks the column.
    """
    if not is_table(path):
        lines = io.StringIO(read_text(path))  # ends lines at line feeds alone; splitlines cuts at other characters too
        return [(line if line.strip() else "") if keep_line_ends else line.strip() for line in lines]
    return _table_column(path, column)


def read_table(path: Path) -> "datasets.Dataset":
    """The rows of a .parquet, .jsonl or .json file, the last two gzipped or not.

    Raises:
        LorapError: The file cannot be read, or is empty.
    """
    import datasets

    builder = "parquet" if path.suffix == ".parquet" else "json"
    if not path.is_file():
        raise LorapError(f"{path}: no such file")
    try:
        return datasets.load_dataset(builder, data_files=str(path), split="train")
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError, StopIteration) as error:
        reason = (str(error.__cause__ or error) or "it is empty").splitlines()[0]
        raise LorapError(f"{path}: cannot be read as {builder} ({reason})") from error


def is_table(path: Path) -> bool:
    """Whether a file holds rows with columns, by its name; others are plain text."""
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    return kind in (".parquet", ".jsonl", ".json")


def _table_column(path: Path, column: str) -> Sequence[str]:
    table = read_table(path)
    if column not in table.column_names:
        raise LorapError(f"{path}: no column {column!r}, expected one of {', '.join(table.column_names)}")
    if table.features[column].dtype not in ("string", "large_string") or table.data.column(column).null_count:
        raise LorapError(f"{path}: column {column!r} is not text in every row")
    rows: Sequence[str] = table[column]
    return rows


def split_file(corpus: Files, split: Split) -> Path:
    """The file of one split: the local one where it is named and LORAP_DATA is set, else the hub's, downloaded.

    Raises:
        LorapError: There is none.
    """
    return _local_path(corpus, split) or _hub_path(corpus, split)


def _local_path(corpus: Files, split: Split) -> Path | None:
    """The local file that overrides the hub's, where params.yaml names one and LORAP_DATA is set."""
    root = os.environ.get(LOCAL_ROOT)
    if not root or split not in corpus.local:
        return None
    path = Path(root, corpus.local[split])
    if not path.is_file():
        raise LorapError(f"{path}: no such file; correct {LOCAL_ROOT} or unset it to read from the hub")
    return path


def _hub_path(corpus: Files, split: Split) -> Path:
    """The hub's file, downloaded into the hub's own cache."""
    if corpus.repo is None or split not in corpus.files:
        known = ", ".join(sorted({*corpus.files, *corpus.local})) or "none"
        raise LorapError(f"corpus: no {split} text on the hub; its splits are {known}, local ones need {LOCAL_ROOT}")
    from huggingface_hub import hf_hub_download

    with downloading(corpus.repo, corpus.files[split]):
        return Path(hf_hub_download(corpus.repo, corpus.files[split], repo_type="dataset", revision=corpus.revision))

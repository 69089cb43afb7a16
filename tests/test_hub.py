"""Downloads by the real hub client from a stand-in on loopback.

In processes of their own: the client reads the address of its hub once, when it is imported.
"""

import json
import shutil
from pathlib import Path

import pytest

from lorap.artifacts.meta import read_meta
from tests.command import fault, launch
from tests.hub import COMMIT, serve_hub

pytestmark = pytest.mark.system


def test_a_hub_model_is_fetched_at_the_commit_that_its_revision_stands_for(tmp_path: Path, tiny_folder: Path) -> None:
    with serve_hub({"owner/tiny": tiny_folder}) as endpoint:
        arguments = ("fetch", "owner/tiny", "--revision", "main", "--out", "model")
        done = launch(tmp_path, *arguments, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "hf"))
    assert done.code == 0, done.err
    assert read_meta(tmp_path / "model")["origin"] == {"source": "hub", "repo": "owner/tiny", "revision": COMMIT}
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "model" / name).read_bytes() == (tiny_folder / name).read_bytes()


def test_of_a_repository_only_the_model_is_taken(tmp_path: Path, tiny_folder: Path) -> None:
    repository = Path(shutil.copytree(tiny_folder, tmp_path / "repository"))
    for name in ("original/model.safetensors", "tokenizer/code.py", "tokenizer_code.py", "vocab.pkl", "weights.bin"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("anything")
    with serve_hub({"owner/tiny": repository}) as endpoint:
        arguments = ("fetch", "owner/tiny", "--out", "model")
        done = launch(tmp_path, *arguments, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "hf"))
    assert done.code == 0, done.err
    made = {str(file.relative_to(tmp_path / "model")) for file in (tmp_path / "model").rglob("*")}
    assert made == {file.name for file in tiny_folder.iterdir()} | {"meta.json", ".lorap"}


def test_a_corpus_of_the_hub_is_read_at_its_path_and_column(tmp_path: Path, tiny_folder: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "part").mkdir(parents=True)
    rows = [json.dumps({"sentence": "some words in a row " * 20}) for _ in range(3)]
    (repository / "part/train.jsonl").write_text("\n".join(rows))
    corpus = "{source: files, repo: owner/text, files: {calibration: part/train.jsonl}, column: sentence}"
    (tmp_path / "params.yaml").write_text(f"corpora:\n  mine: {corpus}\n")
    windows = ("--nsamples", "2", "--seqlen", "8", "--out", "c.safetensors")
    with serve_hub({"owner/text": repository}) as endpoint:
        arguments = ("calibrate", "--model", str(tiny_folder), "--corpus", "mine", *windows)
        done = launch(tmp_path, *arguments, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "hf"))
    assert done.code == 0, done.err
    origin = read_meta(tmp_path / "c.safetensors")["origin"]
    assert (origin["repo"], origin["revision"], origin["file"]) == ("owner/text", COMMIT, "part/train.jsonl")


def test_a_repository_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    with serve_hub({}) as endpoint:
        done = launch(tmp_path, "fetch", "owner/none", "--out", "model", HF_ENDPOINT=endpoint)
    assert fault(done).startswith("owner/none: the model cannot be downloaded")
    assert not (tmp_path / "model").exists()

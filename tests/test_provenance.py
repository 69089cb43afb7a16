"""What an artifact says of itself, and what tells one input from another."""

import json
from pathlib import Path

import pytest

from lorap.artifacts.meta import artifact_id, is_made_from, meta_path, new_artifact, read_meta
from lorap.artifacts.specs import ExportSpec, SpectraSpec
from lorap.files import sha256_file

SPEC = SpectraSpec(batch=4)


def made(out: Path, inputs: dict[str, Path] | None = None, content: str = "content", folder: bool = False) -> Path:
    with new_artifact(out, SPEC, inputs or {}, folder=folder) as partial:
        (partial / "a.txt" if folder else partial).write_text(content)
    return out


def test_a_file_has_its_meta_beside_it_and_a_folder_inside(tmp_path: Path) -> None:
    made(tmp_path / "file.json")
    made(tmp_path / "folder", folder=True)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"file.json", "file.json.meta.json", "folder/a.txt", "folder/meta.json", "folder/.lorap"}
    assert read_meta(tmp_path / "file.json")["sha256"] == sha256_file(tmp_path / "file.json")
    assert read_meta(tmp_path / "folder")["sha256"] == {"a.txt": sha256_file(tmp_path / "folder" / "a.txt")}


def test_the_meta_tells_what_a_reader_needs_to_make_it_again(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text")
    meta = read_meta(made(tmp_path / "out", {"text": tmp_path / "text.txt"}))
    assert meta["spec"] == {"batch": 4, "code": ""}
    assert meta["inputs"] == {"text": artifact_id(tmp_path / "text.txt")}
    assert meta["versions"].keys() >= {"python", "torch", "transformers", "tokenizers", "safetensors", "datasets"}
    assert meta["device"]
    assert meta["wall_seconds"] >= 0


def test_the_id_of_ours_follows_from_spec_inputs_and_bytes(tmp_path: Path) -> None:
    first, again = made(tmp_path / "first"), made(tmp_path / "again")
    assert artifact_id(first) == artifact_id(again) == read_meta(first)["id"]
    others = [made(tmp_path / "later", {"input": first}), made(tmp_path / "changed", content="of a moved branch")]
    assert len({artifact_id(path) for path in (first, *others)}) == 3


def test_the_id_of_a_foreign_model_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "meta.json").write_text('{"of": "another tool"}')
    ids = [artifact_id(tmp_path)]
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes(b"changed")
        ids.append(artifact_id(tmp_path))
    (tmp_path / "README.md").write_text("not a part of the model")
    assert artifact_id(tmp_path) == ids[-1]
    assert len(set(ids)) == 5


def test_an_artifact_counts_as_made_only_when_it_is_whole_and_of_these_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not is_made_from(out, SPEC, {})
    made(out, folder=True)
    assert is_made_from(out, SPEC, {})
    assert not is_made_from(out, SpectraSpec(batch=5), {})
    assert not is_made_from(out, ExportSpec(form="dense"), {})
    assert not is_made_from(out, SPEC, {"model": out})
    (out / "a.txt").write_text("damaged")
    assert not is_made_from(out, SPEC, {})
    (out / "a.txt").unlink()
    assert not is_made_from(out, SPEC, {})


def test_a_step_that_fails_leaves_neither_the_artifact_nor_its_meta(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_artifact(tmp_path / "out", SPEC, {}):
        pass  # nothing was written, so there is nothing to hash
    assert not any(tmp_path.iterdir())


def test_an_artifact_that_is_made_again_has_the_new_meta(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    with new_artifact(out, SpectraSpec(batch=9), {}) as partial:
        partial.write_text("new")
    assert json.loads(meta_path(out).read_text())["spec"]["batch"] == 9
    assert read_meta(out)["sha256"] == sha256_file(out)

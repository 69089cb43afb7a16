"""Where every number comes from: the metas of a grid's artifacts, and what they say of a cell in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorap.artifacts import names
from lorap.artifacts.grid import Cell
from lorap.artifacts.names import TIMING
from lorap.artifacts.places import jobs, measured, output
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.results import read_optional
from lorap.report.read.scores import ALL_TEXTS, COMPRESSING, COST, TUNING

FILES = {"perplexity": names.PERPLEXITY, "zero-shot": names.ZEROSHOT, COST: names.COST}  # by a measure's first word
STEPS = {TUNING: "tune", COMPRESSING: "compress"}  # what is measured while a step runs
WALL = "wall_seconds"
Fact = tuple[str, str]


def read_provenance(spec: ReportSpec, folder: Path) -> dict[str, Any]:
    """The meta of every artifact of the grid by its path below the grid's folder, measurements with their protocol."""
    found: dict[str, Any] = {}
    for step, cell in jobs(spec.grid, spec.methods):
        for artifact in (each.of(cell) for each in step.outputs if not step.takes_all):
            meta = read_optional(folder / artifact.meta)
            content = read_optional(folder / artifact.path) if step.stage == "evaluate" else None
            if protocol := _protocol(content):
                meta = (meta or {}) | {"protocol": protocol}
            found[artifact.name] = meta
    return {path: meta for path, meta in found.items() if meta is not None}


def parted(provenance: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a second run repeats of the metas, and what it does not: wall times, and hashes of files that hold times."""
    lasting: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for path, meta in provenance.items():
        varies = {WALL, "id", "sha256"} if path.endswith(names.COST) else {WALL}
        lasting[path] = {name: value for name, value in meta.items() if name not in varies}
        measured[path] = {name: value for name, value in meta.items() if name in varies}
        hashes = meta.get("sha256")
        if isinstance(hashes, dict) and TIMING in hashes:
            lasting[path]["sha256"] = {file: sha256 for file, sha256 in hashes.items() if file != TIMING}
            measured[path]["sha256"] = {TIMING: hashes[TIMING]}
    return lasting, measured


def cell_facts(spec: ReportSpec, provenance: Mapping[str, Any], cell: Cell) -> list[Fact]:
    """What a cell is and what it was made of: model, method, calibration, tuning."""
    facts = [("model", _origin(cell.model, provenance.get(output("fetch", cell).name, {})))]
    if cell.method is None:
        return facts
    method = _listed(spec.methods[cell.method].columns())
    facts.append(("method", f"{cell.method}, sparsity {cell.sparsity:g}: {method}"))
    calibration = provenance.get(output("calibrate", cell).name, {})
    chosen = spec.calibrate[str(cell.calibration)]
    seed = calibration.get("spec", {}).get("seed", chosen.seed)
    windows = f"{cell.calibration}: {chosen.nsamples} windows of {chosen.seqlen} tokens, seed {seed}"
    facts.append(("calibration", _origin(windows, calibration)))
    facts += _run("compressed", provenance.get(output("compress", cell).name))
    if cell.tuning:
        tuned = provenance.get(output("tune", cell).name, {})
        settings = spec.tune[cell.tuning].model_dump() | {"seed": tuned.get("spec", {}).get("seed")}
        kept = f", kept as {cell.kept_as}" if cell.kept_as else ""
        facts.append(("tuning", _origin(f"{cell.tuning}{kept}: {_listed(settings)}", tuned)))
        facts += _run("tuned", tuned)
        if cell.kept_as:
            facts += _run("factored again", provenance.get(output("redecompose", cell).name))
    return facts


def measure_facts(provenance: Mapping[str, Any], cell: Cell, measure: str) -> list[Fact]:
    """By which protocol, software and machine a cell was measured."""
    if measure in STEPS:
        return [("measured", f"while {measure}"), *_software(provenance.get(output(STEPS[measure], cell).name, {}))]
    kind = measure.partition(" ")[0]
    meta = provenance.get(f"{measured(cell)}/{FILES[kind]}", {})
    if kind == COST and not meta:
        return [("counted", "from the plan of its layers; what is timed is another calibration's")]
    protocol = meta.get("protocol", {})
    named = [f"{kind} {text}" for text in protocol] if measure == ALL_TEXTS else [measure]
    protocols = [("protocol", f"{one}: {_listed(_part(protocol, *one.partition(' ')[::2]))}") for one in named]
    return [*protocols, *_run("measured", meta), *_software(meta)]


def _protocol(content: Any) -> Any:
    """The protocol in a file of measurements; perplexities have one each."""
    if not isinstance(content, dict):
        return None
    return content.get("protocol") or {
        name: part["protocol"] for name, part in content.items() if isinstance(part, dict) and "protocol" in part
    }


def _part(protocol: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """What of a file's protocols concerns one perplexity or task."""
    if kind == "perplexity":
        return protocol.get(name, {})
    tasks = protocol.get("tasks", {})
    return {key: value for key, value in protocol.items() if key != "tasks"} | tasks.get(name, {})


def _origin(what: str, meta: Mapping[str, Any]) -> str:
    origin = _listed(meta.get("origin", {}))
    return f"{what} ({origin})" if origin else what


def _run(what: str, meta: Mapping[str, Any] | None) -> list[Fact]:
    if not meta or "git_commit" not in meta:
        return []
    return [(what, f"at commit {meta['git_commit']}, on {meta['device']}, in {meta[WALL]:,.1f} s")]


def _software(meta: Mapping[str, Any]) -> list[Fact]:
    versions = _listed(meta.get("versions", {}))
    return [("versions", versions)] if versions else []


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in settings.items() if value is not None)


def _words(value: Any) -> str:
    """A value of a protocol; white space in it is written as a programmer would."""
    return repr(value) if isinstance(value, str) and (not value or value != value.strip()) else str(value)

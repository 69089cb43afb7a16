"""params.yaml: which file is read, and what an override changes."""

from pathlib import Path

import pytest
import yaml

import lorap.settings.config
from lorap.settings.config import DEFAULTS, load_params, parse_params
from tests.overriding import overridden

SHIPPED = Path(__file__).parents[1] / "params.yaml"


def test_the_shipped_file_is_valid_and_is_the_one_in_the_package() -> None:
    assert SHIPPED.samefile(DEFAULTS)
    assert load_params(SHIPPED) == load_params(DEFAULTS)
    assert set(load_params(SHIPPED).grids) >= {"demo", "mini", "paper"}


def test_the_shipped_file_survives_being_rewritten_by_dvc_exp(tmp_path: Path) -> None:
    rewritten = yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()), default_flow_style=False)
    assert overridden(tmp_path, rewritten) == load_params(SHIPPED)


def test_the_settings_of_the_package_hold_where_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_params() == load_params(SHIPPED)


def test_a_params_file_in_the_working_folder_is_read_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lorap.settings.config.LOCAL.write_text("seed: 7")
    (tmp_path / "other.yaml").write_text("seed: 8")
    assert load_params().seed == 7
    assert load_params(Path("other.yaml")).seed == 8


def test_a_named_entry_is_overridden_whole_and_another_section_key_by_key(tmp_path: Path) -> None:
    shipped = load_params(SHIPPED)
    params = overridden(tmp_path, "methods: {lorap: {attention: svd, ffn: none}}\nevaluate: {cost: {repeats: 9}}")
    assert params.methods["lorap"].columns() == {"attention": "svd", "allocation": 3, "ffn": "none"}
    assert params.methods["svd"] == shipped.methods["svd"]
    assert params.evaluate.cost == shipped.evaluate.cost.model_copy(update={"repeats": 9})
    assert params.evaluate.perplexity == shipped.evaluate.perplexity


def test_a_protocol_is_a_named_entry_too(tmp_path: Path) -> None:
    params = overridden(tmp_path, "evaluate: {zeroshot: {seven: {tasks: [piqa], documents: 10}}}")
    assert load_params(SHIPPED).evaluate.zeroshot["seven"].local is not None
    assert params.evaluate.zeroshot["seven"].model_dump() == {"tasks": ["piqa"], "documents": 10, "local": None}
    assert params.evaluate.zeroshot.keys() == load_params(SHIPPED).evaluate.zeroshot.keys()


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    raw = yaml.safe_load(SHIPPED.read_text())
    with pytest.raises(ValueError, match="frozen"):
        parse_params(raw, "params.yaml").seed = 1

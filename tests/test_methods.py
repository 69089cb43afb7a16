"""A method's settings: nested and flat, overridden by parts and by settings, and never silently dropped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from lorap.errors import LorapError
from lorap.model.family import projection
from lorap.model.folder import load_model
from lorap.model.modeling_lorap import LowRankLinear
from lorap.settings.method import Method
from tests.compare import compressed, method_of


def test_the_flat_form_and_the_sections_are_the_same_method() -> None:
    flat = Method.model_validate({"attention": "awsvd", "ffn": "prune", "allocation": 2, "keep_least": 0.1})
    nested = {"attention": {"name": "awsvd", "allocation": 2.0}, "ffn": {"name": "prune", "keep_least": 0.1}}
    assert flat == Method.model_validate(nested)
    assert flat.columns() == {"attention": "awsvd", "allocation": 2, "ffn": "prune", "keep_least": 0.1}


def test_a_method_of_an_older_file_may_have_a_setting_that_its_parts_lack() -> None:
    old = {"attention": "none", "ffn": "prune", "allocation": 3, "keep_least": 0.1}
    assert Method.model_validate(old).columns() == {"attention": "none", "ffn": "prune", "keep_least": 0.1}


@pytest.mark.parametrize(
    "raw",
    [
        {"attention": "none", "ffn": "prune", "allocation": "abc"},
        {"attention": {"name": "awsvd", "allocation": 2}, "ffn": "prune", "allocation": 5},
        {"attention": {"name": "none", "allocation": 2}, "ffn": {"name": "prune"}},
        {"attention": {"name": "awsvd"}, "ffn": {"name": "prune"}, "keep_most": 1},
        {"attention": "awsvd", "ffn": "decompose", "factorisation": "magic"},
        {"attention": ["awsvd"], "ffn": "prune"},
        {"attention": {"allocation": 2}, "ffn": "prune"},
    ],
    ids=str,
)
def test_what_no_part_can_have_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Method.model_validate(raw)


def test_another_part_keeps_the_settings_that_it_has_too() -> None:
    svd = method_of(allocation=2).overridden({"attention": "svd"})
    assert svd.columns() == {"attention": "svd", "allocation": 2, "ffn": "prune", "keep_least": 0.01}
    none = svd.overridden({"attention": "none", "ffn": "decompose"})
    assert none.columns() == {"attention": "none", "ffn": "decompose"}
    assert method_of().overridden({"attention": {"name": "svd", "allocation": 1}}).columns()["allocation"] == 1
    assert method_of().overridden({"repair": "none"}) == method_of()


def test_a_setting_that_no_chosen_part_has_is_named_and_an_unknown_part_before_it() -> None:
    with pytest.raises(LorapError, match=r"--allocation: none of attention none, ffn prune, share uniform has such"):
        method_of().overridden({"attention": "none", "allocation": 3})
    with pytest.raises(ValidationError, match="bogus"):
        method_of().overridden({"attention": "bogus", "allocation": 3})


def test_a_decomposed_ffn_is_factorised_as_the_attention_is_unless_it_says_otherwise() -> None:
    def factorisation(**changes: Any) -> str:
        _, ffn = method_of(ffn="decompose", **changes).treatments
        return str(ffn.model_dump()["factorisation"])

    assert factorisation(attention="svd") == "svd"
    assert factorisation(attention="none") == "awsvd"
    assert factorisation(attention="awsvd", factorisation="afm") == "afm"
    assert "lorap.methods.afm" in method_of(ffn="decompose", factorisation="afm").modules()


def test_a_decomposed_ffn_has_the_settings_of_the_factorisation_that_it_takes_over(
    tiny_folder: Path, tmp_path: Path, windows: Tensor
) -> None:
    """A second moment without its products is the moment that awsvd has; with them it is another one."""
    changes: dict[str, Any] = {"attention": "second-moment", "ffn": "decompose"}
    folders = {
        name: compressed(tiny_folder, tmp_path / name, windows, **changes, **more)
        for name, more in {"diagonal": {"shrinkage": 1}, "whole": {"shrinkage": 0}}.items()
    }
    folders["awsvd"] = compressed(tiny_folder, tmp_path / "awsvd", windows, ffn="decompose")
    gates = {name: projection(load_model(folder).model.layers[0], "gate_proj") for name, folder in folders.items()}
    weights = {name: torch.matmul(*gate.factors()) for name, gate in gates.items() if isinstance(gate, LowRankLinear)}
    torch.testing.assert_close(weights["diagonal"], weights["awsvd"], rtol=0, atol=1e-5)
    assert not torch.allclose(weights["whole"], weights["awsvd"], atol=1e-3)

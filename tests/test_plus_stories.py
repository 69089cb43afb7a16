"""lorap-plus on a real model of another size than the one that it was made with."""

from pathlib import Path

import pytest

import lorap
from lorap.data.corpora import pydoc_rows


@pytest.mark.slow
def test_a_real_model_of_260_thousand_parameters_loses_no_more_by_lorap_plus_than_by_lorap(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("read.txt").write_text(" ".join(pydoc_rows("calibration")), encoding="utf-8")
    Path("held-out.txt").write_text(" ".join(pydoc_rows("evaluation")), encoding="utf-8")
    lorap.calibrate(stories, "c.safetensors", text="read.txt", nsamples=128, seqlen=128)
    lorap.survey(stories, "c.safetensors", "survey.safetensors", quiet=True)
    found = {}
    for method, survey in (("lorap", None), ("lorap-plus", "survey.safetensors")):
        lorap.compress(stories, "c.safetensors", method, sparsity=0.3, method=method, survey=survey, quiet=True)
        measured = lorap.evaluate(method, "perplexity", text="held-out.txt", windows=100, quiet=True)
        found[method] = measured["perplexity"]
    assert found["lorap-plus"] <= found["lorap"], found

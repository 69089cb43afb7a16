"""Which documents the zero-shot tasks ask, and where they come from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorap.evaluation.choice import choice_documents
from lorap.evaluation.zeroshot import draw_rows
from tests.asking import LOCAL, measure
from tests.hub import COMMIT, serve_hub


def test_documents_are_drawn_by_seed_and_task_alone() -> None:
    """Fails where a draw depends on the process, is the file's beginning, or is with replacement."""
    assert draw_rows("piqa", 1838, 6, 0) == [226, 408, 818, 848, 1042, 1774]
    assert draw_rows("piqa", 1838, 6, 1) != draw_rows("piqa", 1838, 6, 0)
    assert draw_rows("boolq", 1838, 6, 0) != draw_rows("piqa", 1838, 6, 0)
    assert draw_rows("piqa", 40, 50, 0) == draw_rows("piqa", 40, None, 0) == list(range(40))


def test_the_same_documents_are_asked_of_every_model(tiny_folder: Path, stories: Path, lorap_data: Path) -> None:
    """Fails where two models' numbers cannot be compared."""
    asked = [
        measure(folder, "piqa", data=lorap_data / LOCAL, documents=5, seed=seed)["protocol"]["tasks"]["piqa"]
        for folder, seed in ((tiny_folder, 0), (stories, 0), (stories, 1))
    ]
    assert asked[0]["prompts_sha256"] == asked[1]["prompts_sha256"] != asked[2]["prompts_sha256"]


def test_the_own_task_asks_what_it_says() -> None:
    """Fails where there are too few documents, or the right ending stands out by place or length."""
    documents = choice_documents()
    assert len(documents) >= 100
    assert documents == choice_documents()
    for document in documents:
        assert len(set(document["endings"])) == 4
        lengths = [len(ending) for ending in document["endings"]]
        assert max(lengths) <= 2 * min(lengths)
    for place in range(4):
        assert 0.1 < sum(document["answer"] == place for document in documents) / len(documents) < 0.4


def test_local_files_of_the_settings_are_read_where_lorap_data_is_set(
    stories: Path, lorap_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where params.yaml's local folder is ignored."""
    monkeypatch.setenv("LORAP_DATA", str(lorap_data))
    entry = measure(stories, "piqa", documents=2, local=LOCAL)["protocol"]["tasks"]["piqa"]
    assert entry["file"] == "piqa/validation.parquet"


@pytest.mark.system
def test_documents_of_the_hub_are_read_at_a_commit(stories: Path, lorap_data: Path, tmp_path: Path) -> None:
    """Fails where a task without local files is not read as lm-eval does, or its protocol does not name the commit."""
    for split in ("train", "validation"):
        (tmp_path / f"{split}.parquet").write_bytes((lorap_data / LOCAL / "piqa" / "validation.parquet").read_bytes())
    code = (
        "import json, sys; from pathlib import Path; from tests.asking import measure;"
        "print(json.dumps(measure(Path(sys.argv[1]), 'piqa', documents=5)))"
    )
    with serve_hub({"baber/piqa": tmp_path}) as endpoint:
        done = subprocess.run(
            [sys.executable, "-c", code, str(stories)],
            env={name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "LORAP_DATA")}
            | {
                "HF_ENDPOINT": endpoint,
                "HF_HOME": str(tmp_path / "home"),
                "PYTHONPATH": str(Path(__file__).parents[1]),
            },
            check=True,
            capture_output=True,
            text=True,
        )
    found, local = json.loads(done.stdout), measure(stories, "piqa", data=lorap_data / LOCAL, documents=5)
    assert found["tasks"] == local["tasks"]
    entry = found["protocol"]["tasks"]["piqa"]
    assert (entry["repo"], entry["revision"]) == ("baber/piqa", COMMIT)
    assert entry["prompts_sha256"] == local["protocol"]["tasks"]["piqa"]["prompts_sha256"]


def test_a_changed_file_is_read_again(stories: Path, tmp_path: Path) -> None:
    """Fails where the cache of `datasets` takes a file of the same path, size and time for the same file."""
    (tmp_path / "piqa").mkdir()
    file = tmp_path / "piqa" / "validation.parquet"
    found = []
    for label in (0, 1):
        columns = {name: [f"{name} {row}" for row in range(12)] for name in ("goal", "sol1", "sol2")}
        pq.write_table(pa.table(columns | {"label": [label] * 12}), file)
        os.utime(file, (1, 1))
        found.append(measure(stories, "piqa", data=tmp_path)["tasks"]["piqa"]["acc"])
    assert found[0] == 1 - found[1] != 0.5

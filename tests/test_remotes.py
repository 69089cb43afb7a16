"""Results that are shared over a DVC remote, a folder or S3: all of them arrive whole, or DVC says which do not."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorap.files import KINDS
from tests.s3_server import BUCKET, LET_THROUGH, NOBODY, key_of, serve_s3, wait_for
from tests.sharing import ADAPTER, Shared, cache_of, cached, damaged, lists
from tests.workflow import NOTHING, ROOT, Checkout, measuring, steps_of

pytestmark = pytest.mark.system

CHAIN = {"tune", "redecompose", *measuring("adapter", "redecomposed"), "report"}
UP_TO_DATE = "Data and pipelines are up to date."
AMBIENT = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@pytest.fixture(scope="module")
def shared(made: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    origin = Checkout(Path(shutil.copytree(made.folder, folder / "origin", symlinks=True)))
    before = origin.stamps()
    origin.run("dvc", "repro")
    assert origin.stamps() == before, "DVC records what Snakemake made"
    with serve_s3(folder) as s3, pytest.MonkeyPatch.context() as environment:
        for name in AMBIENT:
            environment.delenv(name, raising=False)
        for name, value in s3.user.items():
            environment.setenv(name, value)
        origin.run("dvc", "remote", "add", "folder", str(folder / "remote"))
        origin.run("dvc", "remote", "add", "--default", "s3", f"s3://{BUCKET}/store")
        origin.run("dvc", "remote", "modify", "s3", "endpointurl", s3.endpoint)
        origin.run("dvc", "remote", "modify", "s3", "verify", "true")
        origin.commit()
        for remote in ("folder", "s3"):
            origin.run("dvc", "push", "--remote", remote)
        yield Shared(origin, s3)


def test_dvc_after_snakemake_has_nothing_to_do_and_shows_its_metrics(shared: Shared) -> None:
    assert "up to date" in shared.origin.run("dvc", "repro")
    assert NOTHING in shared.origin.run("snakemake")
    assert "lorap-0.5" in shared.origin.run("dvc", "metrics", "show", "--json")


@pytest.mark.parametrize("remote", ["folder", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_clone_pulls_and_adopts_and_nothing_is_made_again(shared: Shared, tmp_path: Path, remote: str) -> None:
    clone = shared.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "--remote", remote)
    assert clone.contents() == shared.origin.contents()
    assert clone.run("lorap", "adopt") == "demo: 27 artifacts taken over, 0 to be made again, 0 missing\n"
    stamps = clone.stamps()
    assert NOTHING in clone.run("snakemake")
    assert UP_TO_DATE in clone.run("dvc", "status")
    assert "up to date" in clone.run("dvc", "repro")
    assert clone.stamps() == stamps
    assert "demo: 27 of 27" in clone.run("lorap", "verify", "--bytes")
    assert not (clone.folder / "models").exists()
    assert cache_of(clone) == cache_of(shared.origin)


def test_dvc_leaves_alone_what_only_a_running_command_needs() -> None:
    assert {f".*.{kind}" for kind in KINDS} <= set((ROOT / ".dvcignore").read_text().splitlines())


def test_both_remotes_hold_the_cache_and_no_base_model(shared: Shared) -> None:
    held = cached(shared.origin.folder.parent / "remote")
    assert held == shared.s3.objects("store") == cache_of(shared.origin)
    weights = [file.read_bytes() for file in (shared.origin.folder / "models").rglob("*.safetensors")]
    assert weights
    assert not set(weights) & set(held.values())


def test_a_push_that_was_killed_is_completed_by_the_next(shared: Shared, tmp_path: Path) -> None:
    origin = shared.copy_at(tmp_path / "origin", "killed")
    shared.s3.gate.touch()
    pushing = subprocess.Popen(["dvc", "push"], cwd=origin.folder, env=origin.environment())
    try:
        wait_for(lambda: len(shared.s3.keys("killed")) == LET_THROUGH, pushing)
    finally:
        pushing.kill()
        pushing.wait()
        shared.s3.gate.unlink()
    arrived = shared.s3.objects("killed")
    assert damaged(arrived) == []
    assert all(entries <= arrived.keys() for entries in lists(arrived).values()), "a list comes after its files"
    origin.run("dvc", "push")
    assert shared.s3.objects("killed") == cache_of(origin) == cache_of(shared.origin)
    clone = shared.clone(tmp_path / "clone", "killed")
    clone.run("dvc", "pull")
    assert clone.contents() == origin.contents()


def test_wrong_credentials_are_told_and_change_nothing(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = shared.clone(tmp_path / "clone")
    before, cache, remote = shared.origin.stamps(), cache_of(shared.origin), shared.s3.objects("store")
    origin = shared.copy_at(tmp_path / "origin", "refused")
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    assert "Forbidden" in origin.run("dvc", "push", ok=False)
    assert "Forbidden" in clone.run("dvc", "pull", ok=False)
    assert clone.run("git", "status", "--porcelain", "--", "results") == ""
    assert (origin.stamps(), cache_of(origin)) == (before, cache)
    assert shared.s3.keys("refused") == []
    assert shared.s3.objects("store") == remote
    for name, value in shared.s3.user.items():
        monkeypatch.setenv(name, value)
    clone.run("dvc", "pull")
    assert clone.contents() == shared.origin.contents()


@pytest.mark.slow
def test_an_object_that_is_missing_costs_its_chain_alone(shared: Shared, tmp_path: Path) -> None:
    name = shared.adapter()
    clone = shared.clone(tmp_path / "clone", shared.store_without(name, "missing"))
    assert f"failed to transfer '{name}'" in clone.run("dvc", "pull", ok=False)
    assert cache_of(clone).keys() == cache_of(shared.origin).keys() - {name, shared.list_with_adapter()}
    clone.run("dvc", "checkout", "--allow-missing")
    whole = shared.origin.contents()
    assert clone.contents() == {file: data for file, data in whole.items() if "/tune/" not in file}
    told = clone.run("lorap", "adopt")
    assert told.endswith(
        "6 are made from what is missing\ndemo: 14 artifacts taken over, 6 to be made again, 7 missing\n"
    )
    assert steps_of(clone.run("snakemake", "-n")) == CHAIN


@pytest.mark.slow
def test_a_damaged_object_is_refused_where_the_remote_is_verified(shared: Shared, tmp_path: Path) -> None:
    clone = shared.clone(tmp_path / "clone", shared.store_with_damage(shared.adapter(), "damaged"))
    assert "results/demo/tune" in clone.run("dvc", "pull", ok=False)
    assert cache_of(clone).keys() == cache_of(shared.origin).keys() - {shared.adapter()}
    assert not (clone.folder / "results/demo/tune").exists()
    clone.run("lorap", "adopt")
    assert steps_of(clone.run("snakemake", "-n")) == CHAIN


@pytest.mark.slow
def test_a_damaged_object_is_found_by_lorap_where_dvc_does_not_look(shared: Shared, tmp_path: Path) -> None:
    clone = shared.clone(tmp_path / "clone", shared.store_with_damage(shared.adapter(), "unverified"))
    clone.run("dvc", "remote", "modify", "--local", "s3", "verify", "false")
    clone.run("dvc", "pull")
    assert UP_TO_DATE in clone.run("dvc", "status")
    told = f"{Path(ADAPTER).parent}: damaged, {Path(ADAPTER).name} has other bytes than were written"
    assert told in clone.run("lorap", "verify", "--bytes", ok=False)
    assert told in clone.run("lorap", "adopt", "--bytes")
    assert steps_of(clone.run("snakemake", "-n")) == CHAIN


def test_a_remote_that_lost_an_object_is_mended_once_its_list_is_gone(shared: Shared, tmp_path: Path) -> None:
    store = shared.store_without(shared.adapter(), "lost")
    origin = shared.copy_at(tmp_path / "origin", store)
    assert "up to date" in origin.run("dvc", "push"), "DVC takes a list for a proof of its files"
    shared.s3.client().delete_object(Bucket=BUCKET, Key=key_of(store, shared.list_with_adapter()))
    origin.run("dvc", "push")
    assert shared.s3.objects(store) == cache_of(origin)

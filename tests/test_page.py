"""The page of a report, in a real browser: it needs no network, sorts, and tells where each number comes from."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.grid import Cell, all_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.build import build_report
from tests.pages import chromium, column, number, sort, wait_until_sorted
from tests.results_folder import CALIBRATION, COMMIT, MODEL, fill, perplexity, small_spec

pytestmark = pytest.mark.system

MISSING = Cell(MODEL, CALIBRATION, "svd", 0.5)
LORAP = Cell(MODEL, CALIBRATION, "lorap", 0.2)
MAIN = [cell for cell in all_cells(small_spec().grid) if cell.calibration in (None, CALIBRATION)]


@pytest.fixture(scope="module")
def spec() -> ReportSpec:
    return small_spec()


@pytest.fixture(scope="module")
def file(spec: ReportSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a grid in which one cell was not measured and one tuning not made."""
    folder = fill(spec, tmp_path_factory.mktemp("results"))
    shutil.rmtree(folder / "evaluate" / MISSING.path)
    (folder / "tune" / LORAP.path / "alpaca/meta.json").unlink()
    build_report(spec, folder)
    return folder / "report" / catalogue.PAGE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as program:
        yield program


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, open; it must have asked for nothing but itself and have logged nothing."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, logged = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: logged.append(message.text))
    opened.on("pageerror", lambda error: logged.append(str(error)))
    opened.goto(file.as_uri())
    opened.wait_for_selector("html[data-ready]", timeout=30_000)
    yield opened
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [file.as_uri()]
    assert logged == []
    opened.close()


def test_a_click_on_a_header_sorts_by_number_with_the_unknown_last(page: Any) -> None:
    upwards = sort(page, "main", "wikitext2")
    known = [value for value in upwards if value is not None]
    assert upwards == sorted(known) + [None] * (len(upwards) - len(known))
    assert None in upwards
    assert max(known) > 99, "as texts, 100 would come before 12"
    downwards = sort(page, "main", "wikitext2")
    assert downwards == sorted(known, reverse=True) + [None] * (len(upwards) - len(known))


def test_a_header_sorts_by_the_keyboard(page: Any) -> None:
    page.locator("#table-cost thead th").filter(has_text=re.compile("^macs$")).locator("[tabindex='0']").focus()
    page.keyboard.press("Enter")
    wait_until_sorted(page, "cost", "macs", "ascending")
    found = [int(text.replace(",", "")) for text in column(page, "cost", "macs") if text]
    assert found == sorted(found)


@pytest.mark.parametrize("how", ["hover", "click", "focus"])
def test_a_number_tells_model_data_protocol_seed_versions_commit_device_and_time(
    page: Any, spec: ReportSpec, how: str
) -> None:
    getattr(number(page, perplexity(spec, LORAP, "wikitext2")), how)()
    text = page.locator("#origin").inner_text()
    said = ["huggyllama/llama-7b, revision 4782ad2", "text_sha256 7e57", "perplexity wikitext2: corpus wikitext2"]
    said += ["seed 7", "python 3.11.7", "torch 2.13.0", COMMIT, "x86_64", "12.3 s", "attention awsvd"]
    assert [part for part in said if part not in text] == []
    page.keyboard.press("Escape")
    assert not page.locator("#origin").is_visible()


def test_a_click_keeps_the_origin_open_until_the_next(page: Any, spec: ReportSpec) -> None:
    number(page, perplexity(spec, LORAP, "wikitext2")).click()
    page.mouse.move(5, 5)
    assert page.locator("#origin").is_visible()
    page.locator("h1").click()
    assert not page.locator("#origin").is_visible()


def test_a_task_names_its_data_and_a_published_number_its_source(page: Any) -> None:
    page.locator("#table-main tbody tr").filter(has_text="svd").first.locator("button").last.hover()
    assert "zero-shot pydoc: num_fewshot 0, dataset set of pydoc" in page.locator("#origin").inner_text()
    page.locator("#published-main > summary").click()
    page.locator("#published-main").get_by_role("button", name="15.69", exact=True).hover()
    assert "lihuang258/LoRAP@4e34b7f figures/eval_result.png" in page.locator("#origin").inner_text()


def test_published_rows_stand_apart_and_differences_below_the_measured_number(page: Any, spec: ReportSpec) -> None:
    assert page.locator("#table-main tbody tr").count() == len(MAIN)
    assert number(page, 15.69).count() == 0
    value = perplexity(spec, LORAP, "wikitext2")
    assert number(page, value).locator("..").inner_text() == f"{value:.2f}\n{value - 15.69:+.2f}"


def test_the_summary_is_computed_and_each_number_tells_its_origin(page: Any, spec: ReportSpec) -> None:
    labels = page.locator("#summary dt").all_inner_texts()
    said = dict(zip(labels, page.locator("#summary dd").all_inner_texts(), strict=True))
    cells = len(all_cells(spec.grid))
    assert said["Measured"].startswith(f"{cells - 1} of {cells} cells (for the others see the warnings): llama-7b")
    assert said["Dense model"].startswith(f"perplexity {perplexity(spec, Cell(MODEL), 'wikitext2'):.2f} on wikitext2; ")
    assert said["Best method"].startswith("lorap at sparsity 0.2: perplexity 101.25 on wikitext2, ")
    page.locator("#summary dd button").first.hover()
    assert "huggyllama/llama-7b" in page.locator("#origin").inner_text()


def test_no_table_is_cut_off_and_no_column_is_empty(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    cut = "(box) => box.querySelector('table') && box.scrollWidth > box.clientWidth"
    assert page.locator(".scroll").evaluate_all(f"(boxes) => boxes.filter({cut}).map((box) => box.ariaLabel)") == []
    for table in page.locator("main table").all():
        rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
        assert all(any(texts) for texts in zip(*rows, strict=True)), table.locator("thead").inner_text()


@pytest.mark.parametrize("how", ["click", "Enter"])
def test_a_figure_zooms_by_mouse_and_by_keyboard(page: Any, how: str) -> None:
    link = page.locator("#figure-pareto_parameters a.zoom")
    link.click() if how == "click" else link.press("Enter")
    caption = page.locator("#zoom p")
    assert caption.inner_text() == catalogue.FIGURES["pareto_parameters"]
    assert page.locator("#zoom img").bounding_box()["width"] > 1.5 * link.bounding_box()["width"]
    page.keyboard.press("ArrowRight")
    assert caption.inner_text() == catalogue.FIGURES["pareto_latency"]
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()


def test_the_reader_may_turn_the_lights_off(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) != "rgb(255, 255, 255)"
    assert "invert" in page.evaluate("getComputedStyle(document.querySelector('figure img')).filter")
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_warnings_name_what_is_missing_and_what_is_far_from_published(page: Any, spec: ReportSpec) -> None:
    lines = page.locator("#warnings li").all_inner_texts()
    unmeasured = ", ".join([*(f"perplexity {name}" for name in spec.perplexity), "cost", "zero-shot"])
    assert f"{MISSING.path}: not measured: {unmeasured}" in lines
    assert f"tune/{LORAP.path}/alpaca/meta.json: not made" in lines
    value = perplexity(spec, LORAP, "wikitext2")
    assert f"{LORAP.path}: wikitext2 is {value:.2f}, published is 15.69 ({value - 15.69:+.2f})" in lines
    assert page.locator("#warnings").bounding_box()["y"] < page.locator("table").first.bounding_box()["y"]


def test_the_chain_counts_what_is_done_and_what_is_missing(page: Any, spec: ReportSpec) -> None:
    steps = [" ".join(text.split()) for text in page.locator("#chain .step").all_text_contents()]
    cells = len(all_cells(spec.grid)) + 1  # and the spectra
    assert steps[0] == "models base models 1 of 1"
    assert steps[3] == "tune adapters 2 of 3, 1 missing"
    assert steps[5] == f"evaluate measurements {cells - 1} of {cells}, 1 missing"
    assert page.locator("#chain .step.missing").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_narrow_screen_tables_scroll_in_their_own_box(browser: Any, file: Path, scheme: str) -> None:
    narrow = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    narrow.goto(file.as_uri())
    narrow.wait_for_selector("html[data-ready]")
    assert narrow.evaluate("document.documentElement.scrollWidth") == 360
    ground = narrow.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    narrow.close()


def test_without_scripts_all_is_there_to_read(browser: Any, file: Path) -> None:
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(file.as_uri())
    assert plain.locator("section[id^=table-]").count() == len(catalogue.TABLES)
    assert plain.locator("#table-main tbody tr").count() == len(MAIN)
    assert plain.locator("#published-main tbody tr").count() > 20
    assert plain.locator("figure img").count() == len(catalogue.FIGURES)
    plain.context.close()

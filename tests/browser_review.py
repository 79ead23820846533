"""The page to look at counterparts in a real browser, Debian's chromium: `make test-browser`."""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import albumentations as A
import pyarrow.compute as pc
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

sys.path.append(str(Path(__file__).parent))

from review_files import HOSTILE, make_store, scores_of, table_of, write_photographs

from albu_diffusemix import HalfConcat
from albu_diffusemix.cli import main
from albu_diffusemix.curate import page as pages
from albu_diffusemix.curate.page import write_page
from albu_diffusemix.curate.server import ReviewServer
from albu_diffusemix.demo import demo_photographs
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.store import Store
from albu_diffusemix.tracing import trace

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
DRIVER = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver") or "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)
PATIENCE = 20  # seconds
WIDE, NARROW = (1280, 800), (390, 844)


class Page:
    """What people do with the page, and what they see."""

    def __init__(self, driver, downloads):
        self.driver, self.downloads = driver, downloads

    def open(self, address, size=WIDE, *, dark=False):
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(address)
        self.wait(lambda: "counterparts" in self.counts)

    def wait(self, condition):
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: condition())

    def text(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    @property
    def counts(self):
        return self.text("#counts")

    @property
    def current(self):
        return self.driver.execute_script("const row = shown[current]; return [row.key, row.variant]")

    @property
    def rows(self):
        return self.driver.execute_script("return shown.map(row => [row.key, row.variant])")

    def press(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)
        self.driver.execute_async_script("busy.then(arguments[0])")

    def choose(self, name, text):
        Select(self.driver.find_element(By.NAME, name)).select_by_visible_text(text)
        self.settle()

    def settle(self):
        """Wait for the rows of the last query."""
        time.sleep(0.05)
        self.wait(lambda: self.driver.execute_script("return !document.querySelector('#cards[aria-busy=true]')"))

    def limit(self, figure, end, value):
        field = self.driver.find_element(By.CSS_SELECTOR, f"[data-figure='{figure}'][data-end='{end}']")
        field.clear()
        field.send_keys(value, Keys.TAB)
        self.settle()

    def save(self):
        self.driver.find_element(By.ID, "save").click()
        file = self.downloads / "choices.jsonl"
        self.wait(lambda: file.exists() and file.stat().st_size)
        return file

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def page(driver):
    page = Page(driver, driver.downloads)
    yield page
    assert page.errors() == []
    for file in driver.downloads.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("browser") / "data", 31)


@pytest.fixture
def store(folder, tmp_path):
    return make_store(tmp_path / "photographs.dm", folder)


@pytest.fixture
def written(store, folder, tmp_path):
    """The address of a page of the store, with scores."""
    table, sources = table_of(store, folder=folder, read_scores=scores_of)
    write_page(table, sources, tmp_path / "review.html", None, lambda: None)
    return (tmp_path / "review.html").as_uri()


@pytest.fixture
def served(store, folder):
    table, sources = table_of(store, folder=folder, read_scores=scores_of)
    with ReviewServer(table, sources) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.address
        server.shutdown()


def drawn_in_training(store, folder, rounds=8):
    """Return the counterparts that a pipeline draws in some rounds over the photographs."""
    backend = {"name": "precomputed", "store": str(store.path), "on_miss": "passthrough"}
    pipeline = A.Compose([HalfConcat(backend=backend, p=1)], seed=3)
    drawn = set()
    with contextlib.suppress(StopIteration), trace() as calls:
        for _ in range(rounds):
            for file in folder.rglob("*.png"):
                key = file.relative_to(folder).as_posix()
                pipeline(image=read_image(file), diffusemix_metadata={"key": key})
    for call in calls:
        drawn.add((call.params["key"], call.params["prompt"]))
    return drawn


def test_ten_rejected_by_keyboard_are_never_drawn(page, written, store, folder, tmp_path, capsys):
    page.open(written)
    page.choose("sort", "clip_image")
    page.choose("order", "highest first")
    page.choose("prompt", "sunset")
    expected = [list(record[:2]) for record in list(store.records())[:-1] if record.prompt == "sunset"][::-1]
    assert page.rows[: len(expected)] == expected[:24]
    ten = page.rows[:10]
    page.driver.find_element(By.ID, "cards").click()
    page.press(*"rrrrrrrrrr")
    assert "10 rejected" in page.counts
    assert page.current == page.rows[10]
    file = page.save()
    assert [[line["key"], line["variant"]] for line in map(json.loads, file.read_text().splitlines())] == ten
    shutil.copytree(store.path, tmp_path / "before.dm")
    assert main(["reject", str(store.path), "--from", str(file)]) == 0
    assert "10" in capsys.readouterr().out
    rejected = {(key, "sunset") for key, _ in ten}
    assert rejected <= drawn_in_training(Store.open(tmp_path / "before.dm"), folder)
    assert not rejected & drawn_in_training(Store.open(store.path), folder)


def test_keys_accept_reject_move_and_undo(page, written):
    page.open(written)
    first, second, third = page.rows[:3]
    page.driver.find_element(By.ID, "cards").click()
    page.press("a")
    assert page.current == second
    page.press("r")
    assert page.current == third
    assert "1 rejected, 1 accepted" in page.counts
    page.press("u")
    assert page.current == second
    assert "0 rejected, 1 accepted" in page.counts
    page.press("p")
    assert page.current == first
    page.press("n", Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.current == second
    page.press("h")
    assert page.driver.execute_script("return document.body.dataset.half") == "right"


def test_thresholds_and_classes_filter(page, written, store):
    page.open(written)
    page.limit("clip_image", 0, "0.25")
    page.limit("clip_image", 1, "0.35")
    assert page.rows == [list(record[:2]) for record in store.records()][25:36]
    page.choose("label", "cat")
    assert page.rows
    assert all(key.startswith("cat/") for key, _ in page.rows)


def test_rows_that_are_judged_shift_no_page(page, written):
    page.open(written)
    page.choose("verdict", "none yet")
    first = page.rows
    page.driver.find_element(By.ID, "cards").click()
    page.press(*"rrr")
    page.driver.find_element(By.ID, "next-page").click()
    page.settle()
    page.choose("verdict", "all")
    everything = page.rows
    assert everything == first
    page.choose("verdict", "none yet")
    assert page.rows == everything[3:] + page.rows[-3:]


def test_verdicts_survive_closing_the_page(page, written):
    page.open(written)
    page.driver.find_element(By.ID, "cards").click()
    page.press("r", "a")
    page.open(written)
    assert "1 rejected, 1 accepted; 2 not saved yet" in page.counts
    page.driver.execute_script("localStorage.clear()")


def test_hostile_texts_are_shown_as_they_are(page, written):
    page.open(written)
    page.choose("label", "all")
    page.driver.find_element(By.ID, "next-page").click()
    page.settle()
    page.driver.find_element(By.ID, "next-page").click()
    page.settle()
    assert any(HOSTILE in key for key, _ in page.rows)
    assert any(HOSTILE in card.text for card in page.all(".card"))
    assert page.driver.title == "Review counterparts"


def test_the_page_asks_no_network(page, written):
    page.open(written)
    addresses = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [address for address in addresses if not address.startswith(("data:", "file:"))] == []
    fetched = page.driver.execute_async_script(
        "fetch('http://127.0.0.1:9/').then(() => arguments[0](1), () => arguments[0](0))"
    )
    assert fetched == 0
    page.driver.get_log("browser")  # that it was refused


def test_pictures_beside_the_page_are_shown(page, store, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MOST_INSIDE", 20_000)
    table, sources = table_of(store, folder=folder)
    write_page(table, sources, tmp_path / "review.html", None, lambda: None)
    page.open((tmp_path / "review.html").as_uri())
    loaded = "return [...document.images].slice(0, 8).every(image => image.complete && image.naturalWidth)"
    page.wait(lambda: page.driver.execute_script(loaded))


def test_all_counterparts_of_an_image_stand_side_by_side(page, store, folder, tmp_path):
    other = make_store(tmp_path / "other.dm", folder, ("snowy", "watercolor"), "beef")
    table, sources = table_of(store, other, folder=folder)
    write_page(table, sources, tmp_path / "review.html", None, lambda: None)
    page.open((tmp_path / "review.html").as_uri())
    page.choose("group", "all of an image side by side")
    group = page.all(".group")[0]
    assert [card.text for card in group.find_elements(By.CSS_SELECTOR, ".card strong")] == [
        "snowy",
        "sunset",
        "snowy",
        "watercolor",
    ]
    assert len({card.location["y"] for card in group.find_elements(By.CSS_SELECTOR, ".card")[:3]}) == 1


@pytest.mark.skipif("PICTURE" not in os.environ, reason="PICTURE names the file that the documentation shows")
def test_the_picture_of_the_documentation(page, tmp_path):
    photographs, store = tmp_path / "photographs", tmp_path / "photographs.dm"
    for name, image in demo_photographs():
        write_image(photographs / f"{name}.png", image)
    main(["generate", str(photographs), "-o", str(store), "--all-prompts", "--backend", "procedural"])
    for scorer in ("edges", "pixels"):
        main(["score", str(store), str(photographs), "--with", scorer])
    main(["review", str(store), str(photographs), "-o", str(tmp_path / "review.html")])
    page.open((tmp_path / "review.html").as_uri())
    page.choose("group", "all of an image side by side")
    page.choose("sort", "edges_whole")
    page.driver.execute_script("document.activeElement.blur()")
    page.press("r", "a")
    time.sleep(6)  # until the message of the last key is gone
    page.driver.execute_script("scrollTo(0, 0)")
    page.driver.save_screenshot(str(tmp_path / "page.png"))
    write_image(Path(os.environ["PICTURE"]), read_image(tmp_path / "page.png"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nothing_is_wider_than_the_screen(page, written, size, dark):
    page.open(written, size, dark=dark)
    assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    colors = page.driver.execute_script(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    light = [sum(map(int, color[4:-1].split(","))) for color in colors]
    assert (light[0] < light[1]) == dark


def test_small_scores_are_written_short_enough_for_their_fields(page, store, folder, tmp_path):
    def small(store):
        table = scores_of(store)
        return table.set_column(2, "clip_image", pc.divide(table["clip_image"], 85_000.0))

    table, sources = table_of(store, folder=folder, read_scores=small)
    write_page(table, sources, tmp_path / "review.html", None, lambda: None)
    page.open((tmp_path / "review.html").as_uri())
    assert [field.get_attribute("placeholder") for field in page.all("[data-figure]")] == ["0", "7.1e-6"]
    assert "clip_image\u00a01.176e-7" in page.driver.execute_script("return shown[1].card.innerText")


def test_a_screen_reader_hears_what_each_card_is(page, written):
    page.open(written)
    page.driver.find_element(By.ID, "cards").click()
    page.press("r")
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value")) for node in tree if not node["ignored"]}
    key, variant = page.rows[0]
    assert ("listitem", f"snowy, {key} {variant}, rejected") in named
    assert ("combobox", "Sort by") in named
    assert any(role == "image" and (name or "").startswith("Histogram of clip_image") for role, name in named)
    unnamed = [
        role for role, name in named if role in ("button", "combobox", "checkbox", "spinbutton", "image") and not name
    ]
    assert unnamed == []
    assert page.driver.execute_script("return document.activeElement === shown[1].card")


def test_the_served_page_writes_each_verdict_at_once(page, served, store):
    page.open(served)
    page.wait(lambda: page.all("[data-figure]"))
    page.settle()
    page.choose("sort", "clip_image")
    rows = page.rows
    page.driver.find_element(By.ID, "cards").click()
    page.press("r", "a", "r", "u")
    verdicts = list(Store.open(store.path).verdicts())
    assert [[*verdict[:3]] for verdict in verdicts] == [
        [*rows[0], "reject"],
        [*rows[1], "accept"],
        [*rows[2], "reject"],
        [*rows[2], "accept"],
    ]
    page.driver.refresh()
    page.wait(lambda: "1 rejected, 1 accepted" in page.counts)
    assert len(page.all(".card.reject")) == 1


def test_all_that_match_are_rejected_at_once_and_come_back(page, served, store):
    page.open(served)
    page.wait(lambda: page.all("[data-figure]"))
    page.settle()
    page.limit("clip_image", 1, "0.3")
    page.driver.find_element(By.ID, "reject-all").click()
    page.driver.switch_to.alert.accept()
    page.wait(lambda: "31 rejected" in page.counts)
    assert sum(map(Store.open(store.path).is_rejected, store.records())) == 31
    page.driver.find_element(By.ID, "undo").click()
    page.wait(lambda: "0 rejected" in page.counts)
    assert not any(map(Store.open(store.path).is_rejected, store.records()))

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import job_backends
import numpy as np
import pytest
from job_files import SIZE, Silent, content, failures, generate, make, make_data, options_of
from precomputed_files import decoded

import albu_diffusemix
from albu_diffusemix.datasets import SourceFile, items
from albu_diffusemix.generate import ENCODINGS, describe_size, estimate, estimate_cost, make_plan
from albu_diffusemix.generate.encoding import encoding_of
from albu_diffusemix.generate.job import open_job
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.prepare import prepare_ahead
from albu_diffusemix.generate.read_ahead import Readers
from albu_diffusemix.generate.shard import make_shard
from albu_diffusemix.generate.variants import Variant
from albu_diffusemix.images import read_image
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Source, Store


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 11)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def batches(monkeypatch):
    """The sizes of the batches that the backend is asked for."""
    sizes = []
    whole = job_backends.Negative.generate
    monkeypatch.setattr(
        job_backends.Negative, "generate", lambda self, asked: (sizes.append(len(asked)), whole(self, asked))[1]
    )
    return sizes


def test_every_source_has_its_counterpart_with_key_prompt_seed_and_guard(data, store):
    assert generate(data, store) == 0
    found = content(store)
    paths = list(data.rglob("*.png"))
    assert {key for key, _ in found} == {path.relative_to(data).as_posix() for path in paths}
    for (key, variant), (prompt, seed, source, image) in found.items():
        assert variant == "0000"
        assert seed == derive_seed(0, key, prompt, variant)
        assert source == Source.of(read_image(data / key))
        assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape == (32, 48, 3)


def test_what_is_stored_is_what_the_backend_makes_of_the_source_at_stored_size(data, store):
    generate(data, store, "--encoding", "png")
    for (key, _), (prompt, seed, _, image) in content(store).items():
        source = cv2.resize(read_image(data / key), (48, 32), interpolation=cv2.INTER_AREA)
        expected = 255 - source // 2 - derive_seed(seed, "", prompt, "") % 64
        decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), expected)


SMALL_SOURCES = [(20, 30), (3, 5), (320, 32)]


@pytest.mark.parametrize(
    ("encoding", "shape", "expected"),
    [
        *((encoding, shape, shape) for shape in SMALL_SOURCES for encoding in ("jpeg", "raw")),
        *zip(["jpeg444", "png", "webp"], SMALL_SOURCES, [(16, 32), (16, 16), (320, 32)], strict=True),
        *((encoding, (48, 64), (32, 48)) for encoding in ("jpeg", "raw", "jpeg444")),
        ("jpeg", (33, 500), (32, 480)),
    ],
)
def test_a_source_that_is_not_made_smaller_keeps_its_sides_where_any_can_be_cut_else_they_are_multiples_of_16(
    tmp_path, store, encoding, shape, expected
):
    make(make_data(tmp_path / "data", 1, shape), store, encoding=encoding)
    [(_, _, source, image)] = content(store).values()
    assert (source.height, source.width) == shape
    assert decoded(image).shape[:2] == expected


@pytest.mark.parametrize(
    ("encoding", "start"),
    [
        ("jpeg", b"\xff\xd8"),
        ("jpeg444", b"\xff\xd8"),
        ("raw", b"\x93NUMPY"),
        ("png", b"\x89PNG"),
        ("webp", b"RIFF"),
    ],
)
def test_each_encoding_is_written_and_recorded(data, store, encoding, start):
    generate(data, store, "--encoding", encoding, "--limit", 2)
    assert all(image.startswith(start) for *_, image in content(store).values())
    assert Store.open(store).recipe.encoding == ENCODINGS[encoding]
    assert encoding_of(Store.open(store).recipe) == encoding


def test_a_store_of_4_4_4_goes_on_in_4_4_4_when_jpeg_is_asked_for(data, store, capsys):
    generate(data, store, "--encoding", "jpeg444", "--limit", 2)
    assert Store.open(store).recipe.encoding == {"format": "jpg", "quality": 90}  # as before there were two
    assert generate(data, store, "--encoding", "jpeg", "--limit", 2) == 0
    assert [recipe.encoding for recipe in (Store.open(store).recipe, *Store.open(store).mixed)] == [
        ENCODINGS["jpeg444"]
    ]
    assert len(content(store)) == 4
    assert generate(data, store, "--encoding", "raw") == 2
    assert "encoding.format: the store has 'jpg', you ask for 'npy'" in capsys.readouterr().err


def test_random_prompts_are_drawn_by_base_seed_key_and_variant_and_all_occur(data, store):
    generate(data, store, "--per-image", 4, "--base-seed", 7)
    job = open_job(options_of(data, store, per_image=4, base_seed=7))
    found = content(store)
    for (key, variant), (prompt, *_) in found.items():
        assert Variant(variant, prompt) in job.variants_of(SourceFile("", key))
    assert {prompt for prompt, *_ in found.values()} == set(job_backends.Negative.prompts)
    assert len(found) == 44


def test_all_prompts_make_one_variant_a_prompt_named_after_it(data, store, tmp_path):
    (tmp_path / "prompts.txt").write_text("snowy\n\n a sketch with crayon \nété\n", encoding="utf-8")
    generate(data, store, "--prompts-file", tmp_path / "prompts.txt", "--prompt", "sunset", "--all-prompts")
    variants = {(variant, prompt) for (_, variant), (prompt, *_) in content(store).items()}
    named = {("snowy", "snowy"), ("sunset", "sunset"), ("a-sketch-with-crayon", "a sketch with crayon")}
    assert named < variants
    [(variant, prompt)] = variants - named
    assert variant.startswith("t-")
    assert prompt == "été"


def test_the_same_images_come_in_any_order_and_batch(data, store, tmp_path):
    make(data, store, per_image=2)
    for size in (1, 3, 64):
        make(data, tmp_path / f"{size}.dm", per_image=2, backend={"name": "negative", "batch_size": size})
        assert content(tmp_path / f"{size}.dm") == content(store)
    plan = make_plan(options_of(data, tmp_path / "back.dm", per_image=2))
    albu_diffusemix.generate.run(plan._replace(sources=plan.sources[::-1]), Silent())
    assert content(tmp_path / "back.dm") == content(store)


def test_batches_fill_across_sources_and_prompts(data, store, batches):
    make(data, store, all_prompts=True)
    assert batches == [4] * 8 + [1]


def test_rejects_join_the_next_batches(data, store, batches):
    summary = make(data, store, backend={"name": "negative", "reject": "blank"}, per_image=2)
    assert sum(batches) == 22 + summary.rejects - summary.failed
    assert all(size == 4 for size in batches[:5])


def test_sources_are_read_while_the_backend_works(data, store, monkeypatch):
    later_ones_read = threading.Event()
    count = 0

    def read(path):
        nonlocal count
        count += 1
        if count > job_backends.Negative().batch_size:
            later_ones_read.set()
        return read_image(path)

    monkeypatch.setattr(items, "read_image", read)
    whole = job_backends.Negative.generate
    in_time = []
    monkeypatch.setattr(
        job_backends.Negative,
        "generate",
        lambda self, asked: (in_time.append(later_ones_read.wait(10)), whole(self, asked))[1],
    )
    make(data, store)
    assert all(in_time)


def test_no_more_sources_are_read_ahead_than_allowed(data):
    files = [SourceFile(str(path), path.name) for path in sorted(data.rglob("*.png"))]
    taken = []
    options = ResolvedOptions(data, data.with_name("x.dm"), size=SIZE)
    sources = (taken.append(file) or file for file in files)
    with Readers(2) as readers:
        prepared = prepare_ahead(readers, sources, lambda *_: [Variant("0000", "snowy")], options, 3, threading.Event())
        for number in range(1, 6):
            next(prepared)
            assert len(taken) <= number + 3


def test_after_a_stop_no_more_sources_are_looked_up(data, store):
    options = ResolvedOptions(data, store, size=SIZE)
    files = [SourceFile(str(path), path.name) for path in sorted(data.rglob("*.png"))]
    looked_up, stop = [], threading.Event()

    def look_up(file, image):
        if image is None:
            looked_up.append(file)
        return [Variant("0000", "snowy")]

    with Readers(2) as readers:
        prepared = prepare_ahead(readers, files, look_up, options, 3, stop)
        next(prepared)
        stop.set()
        assert list(prepared) == []
    assert len(looked_up) <= 5


def test_a_second_run_makes_nothing(data, store, batches):
    make(data, store)
    parts = sorted(path.name for path in (store / "parts").iterdir())
    batches.clear()
    assert make(data, store).made == 0
    assert batches == []
    assert sorted(path.name for path in (store / "parts").iterdir()) == parts


def test_a_plan_can_be_run_again_when_its_store_was_removed(data, store):
    plan = make_plan(options_of(data, store))
    for _ in range(2):
        assert albu_diffusemix.generate.run(plan, Silent()).made == 11
        assert len(content(store)) == 11
        shutil.rmtree(store)


def test_more_images_a_source_are_added_to_those_that_are_there(data, store, tmp_path):
    make(data, store)
    assert make(data, store, per_image=3).made == 22
    make(data, tmp_path / "at_once.dm", per_image=3)
    assert content(store) == content(tmp_path / "at_once.dm")


def test_rejects_are_made_again_from_derived_seeds(data, store, capsys):
    assert generate(data, store, "--per-image", 3, reject="blank") == 1
    made, failed = content(store), failures(store)
    attempts = set()
    for (key, variant), (prompt, seed, *_) in made.items():
        seeds = [derive_seed(0, key, prompt, variant, attempt) for attempt in range(3)]
        attempts.add(seeds.index(seed))
        assert seed % 3 == 0
    assert attempts == {0, 1, 2}
    assert len(made) + len(failed) == 33
    assert set(failed.values()) == {"blank, 3 attempts"}
    out = capsys.readouterr().out
    assert f"{len(failed)} failed" in out
    assert "blank, 3 attempts" in out


def test_retry_failed_tries_again_what_failed_and_only_then(data, store, capsys):
    assert generate(data, store, reject="nsfw") == 1
    assert set(failures(store).values()) == {"nsfw, 3 attempts"}
    assert generate(data, store, reject="nsfw") == 1
    assert "11 failed before" in capsys.readouterr().out
    assert generate(data, store, "--retry-failed", "--allow-mixed") == 0
    assert failures(store) == {}
    assert len(content(store)) == 11


def test_what_a_backend_has_not_is_not_asked_for_again(data, store, batches):
    summary = make(data, store, backend={"name": "negative", "reject": "missing"})
    assert sum(batches) == summary.failed == 11
    assert set(failures(store).values()) == {"missing"}


def test_a_broken_source_is_a_row_and_the_run_goes_on(data, store, capsys):
    (data / "class0/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    (data / "class1/empty.png").touch()
    (data / "class2/gone.png").symlink_to(data / "nowhere")
    assert generate(data, store) == 1
    assert len(content(store)) == 11
    reasons = {key: reason for (key, _), reason in failures(store).items()}
    assert set(reasons) == {"class0/broken.jpg", "class1/empty.png", "class2/gone.png"}
    assert reasons["class2/gone.png"] == "unreadable: No such file or directory"
    assert "failed: class0/broken.jpg 0000: unreadable: " in capsys.readouterr().out


def test_an_image_that_a_backend_fails_on_is_a_row_and_its_neighbours_are_made(data, store):
    reporter = Silent()
    summary = make(data, store, reporter, backend={"name": "negative", "fail_on": "/004", "batch_size": 8})
    assert (summary.made, summary.failed) == (10, 1)
    assert failures(store) == {("class1/004.png", "0000"): "RuntimeError: cannot do class1/004.png"}
    assert any("batch of 8" in note for note in reporter.notes)


def test_a_backend_that_fails_on_everything_ends_the_run_and_leaves_no_rows(data, store, capsys):
    assert generate(data, store, fail_on="class") == 2
    assert "failed on each of the first 8 images: RuntimeError: cannot do class" in capsys.readouterr().err
    assert not store.exists()


def test_a_few_images_that_all_fail_are_rows_in_a_store_that_is_there(data, store):
    make(data, store, limit=1)
    summary = make(data, store, limit=3, backend={"name": "negative", "fail_on": "class"})
    assert (summary.made, summary.failed, len(failures(store))) == (0, 3, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda image: image[:-1], r"gave uint8 \(31, 48, 3\) where uint8 \(32, 48, 3\) was asked for"),
        (lambda image: image / 255, "gave float64"),
        (lambda _: None, "gave None"),
    ],
)
def test_a_backend_that_gives_something_else_ends_the_run(data, store, monkeypatch, wrong, message):
    right = job_backends.Negative.make
    monkeypatch.setattr(
        job_backends.Negative,
        "make",
        lambda self, asked: (made := right(self, asked))._replace(image=wrong(made.image)),
    )
    with pytest.raises(ValueError, match=message):
        make(data, store)


def test_a_backend_that_drops_a_request_ends_the_run(data, store, monkeypatch):
    monkeypatch.setattr(job_backends.Negative, "generate", lambda self, asked: [self.make(one) for one in asked[1:]])
    with pytest.raises(ValueError, match="gave 3 counterparts for 4 requests"):
        make(data, store)


def test_shards_make_together_what_one_run_makes_and_their_number_may_change(data, store, tmp_path):
    make(data, tmp_path / "whole.dm", per_image=2)
    first = make(data, store, per_image=2, shard=(0, 2), limit=2)
    assert first.made == 4
    shares = [make(data, store, per_image=2, shard=(index, 3)).made for index in range(3)]
    assert sum(shares) == 18
    assert min(shares) > 0
    assert content(store) == content(tmp_path / "whole.dm")


def test_two_shards_are_one_run(data, store, tmp_path):
    make(data, tmp_path / "whole.dm")
    for share in ("0/2", "1/2"):
        assert generate(data, store, "--shard", share) == 0
    assert content(store) == content(tmp_path / "whole.dm")


def test_a_limit_makes_the_next_sources_each_time(data, store):
    assert [make(data, store, limit=5, per_image=2).made for _ in range(4)] == [10, 10, 2, 0]


def test_a_dry_run_counts_measures_and_writes_nothing(data, store, capsys):
    make(data, store, limit=3)
    before = sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*"))
    assert generate(data, store, "--dry-run", "--per-image", 2) == 0
    out = capsys.readouterr().out
    assert "22 wanted, 3 present, 19 to be made" in out
    assert "Measured on" in out
    assert sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*")) == before
    assert generate(data, store.with_name("new.dm"), "--dry-run") == 0
    assert not store.with_name("new.dm").exists()


def test_the_estimated_size_is_near_the_truth(tmp_path, store):
    data = make_data(tmp_path / "data", 60, (128, 128))
    plan = make_plan(options_of(data, store, size=128))
    cost = estimate_cost(plan)
    albu_diffusemix.generate.run(plan, Silent())
    size = sum(path.stat().st_size for path in store.rglob("*") if path.suffix in (".tar", ".idx"))
    assert 0 < cost.measured < 60
    assert 0.8 * size < cost.size < 1.25 * size


def test_the_estimated_time_is_that_of_the_images_measured_after_the_first_batch(tmp_path, store, batches, monkeypatch):
    seconds_an_image = 3.0
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: 100 * bool(batches) + seconds_an_image * sum(batches))
    cost = estimate_cost(make_plan(options_of(make_data(tmp_path / "data", 60), store)))
    assert cost.seconds == pytest.approx(60 * seconds_an_image)
    assert cost.measured < 16


def test_the_readme_has_a_picture_of_sources_beside_their_counterparts(data, store):
    make(data, store, per_image=2)
    page = (store / "README.md").read_text()
    assert "22 counterparts of 11 sources" in page
    assert "(contact-sheet.jpg)" in page
    sheet = cv2.imread(str(store / "contact-sheet.jpg"))
    assert sheet.shape[0] > 6 * 120
    assert sheet.shape[1] > 3 * 160
    assert (store / "index/merged.idx").exists()


def test_a_run_of_which_nothing_comes_has_a_readme_without_a_picture(data, store):
    make(data, store, backend={"name": "negative", "reject": "nsfw"})
    assert "contact-sheet" not in (store / "README.md").read_text()
    assert "11 could not be made" in (store / "README.md").read_text()


def test_a_stop_finishes_the_batch_in_progress_and_the_next_run_goes_on(data, store, tmp_path):
    class Stopping(Silent):
        def outcome(self, outcome):
            super().outcome(outcome)
            stop.set()

    stop = threading.Event()
    reporter = Stopping()
    summary = make(data, store, reporter, stop)
    assert summary.interrupted
    assert 4 <= summary.made < 11
    assert {outcome.key for outcome in reporter.outcomes} == {key for key, _ in content(store)}
    assert list((store / "parts").glob("*.open")) == []
    make(data, store)
    make(data, tmp_path / "whole.dm")
    assert content(store) == content(tmp_path / "whole.dm")


def test_after_a_stop_no_more_sources_are_read(tmp_path, store, monkeypatch):
    class Stopping(Silent):
        def outcome(self, _):
            stop.set()

    read = []
    monkeypatch.setattr(items, "read_image", lambda path: (read.append(path), read_image(path))[1])
    stop = threading.Event()
    make(make_data(tmp_path / "many", 120), store, Stopping(), stop)
    assert len(read) < 60


def test_after_a_flush_a_shard_sees_what_others_have_made_meanwhile(data, store):
    plan = make_plan(options_of(data, store))

    def sources():
        yield plan.sources[0]
        make_shard(plan.job, [plan.sources[1]], Silent(), threading.Event())
        yield None
        yield from plan.sources[1:3]

    reporter = Silent()
    make_shard(plan.job, sources(), reporter, threading.Event())
    assert [outcome.key for outcome in reporter.outcomes] == [plan.sources[0].key, plan.sources[2].key]
    assert reporter.keys == [source.key for source in plan.sources[:3]]


def test_another_batch_size_does_not_make_it_another_store(data, store):
    make(data, store, limit=2)
    assert make(data, store, backend={"name": "negative", "batch_size": 7}).made == 9


def test_training_reads_what_the_job_made(data, store):
    make(data, store)
    backend = albu_diffusemix.create_backend({"name": "precomputed", "store": str(store)})
    for path in data.rglob("*.png"):
        image, key = read_image(path), path.relative_to(data).as_posix()
        [made] = backend.generate([request_of(image, key)])
        assert made.status == "ok"
        assert made.image.shape == (48, 32, 3)


def request_of(image, key):
    return albu_diffusemix.backends.Request(image, None, 3, key, (32, 0, 64, 48))


def test_the_job_imports_neither_albumentations_nor_the_transforms():
    package = Path(albu_diffusemix.__file__).parent
    code = f"""if True:
        import sys, types
        package = types.ModuleType("albu_diffusemix")  # without its own imports, which register the transforms
        package.__path__ = [{str(package)!r}]
        sys.modules["albu_diffusemix"] = package
        import albu_diffusemix.generate, albu_diffusemix.generate.local_worker, albu_diffusemix.exchange
        heavy = ("albumentations", "torch", "ray", "pyarrow")
        loaded = [name for name in sys.modules if name.partition(".")[0] in heavy]
        print(loaded, "albu_diffusemix.transforms" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (493_000, "493 kB"), (2.9e11, "290 GB"), (5e15, "5e+03 TB")]
)
def test_sizes_are_said_in_a_readable_unit(size, words):
    assert describe_size(size) == words

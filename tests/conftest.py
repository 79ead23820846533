"""Shared by all tests: a backend whose counterparts are easy to tell, and images of every allowed format."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from albu_diffusemix.backends import Counterpart, Request, register_backend
from albu_diffusemix.cli import main
from albu_diffusemix.functional import crop
from albu_diffusemix.tracing import trace

# So that each worker of a fork server need not import them again.
multiprocessing.set_forkserver_preload(["torch.utils.data", "albu_diffusemix", "skimage"])

HOSTS_OWN = {"shape", "cols", "rows"}
"""What the hosts add to a transform's parameters."""

ANY_HOST = {
    "test_backends",
    "test_batches",
    "test_benchmarks",
    "test_campaign",
    "test_choices",
    "test_choices_damage",
    "test_choose",
    "test_class_files",
    "test_clip_filter",
    "test_contact_sheet",
    "test_datasets_hugging_face",
    "test_datasets_lists",
    "test_datasets_tars",
    "test_diffusers",
    "test_diffusers_errors",
    "test_diffusers_pipelines",
    "test_diffusion_benchmark",
    "test_doctor",
    "test_exchange",
    "test_families",
    "test_families_resumed",
    "test_fractal_assets",
    "test_fractals",
    "test_generate",
    "test_generate_balance",
    "test_generate_beginnings",
    "test_generate_changed",
    "test_generate_classes",
    "test_generate_crash",
    "test_generate_diffusion",
    "test_generate_draws",
    "test_generate_engines",
    "test_generate_given",
    "test_generate_hanging",
    "test_generate_input",
    "test_generate_onnx",
    "test_generate_openings",
    "test_generate_own_prompts",
    "test_generate_ray",
    "test_hub",
    "test_image_decoding",
    "test_images",
    "test_images_api",
    "test_index",
    "test_jpeg",
    "test_jpeg_errors",
    "test_keys",
    "test_loaded_once",
    "test_model_scorers",
    "test_onnx",
    "test_onnx_benchmark",
    "test_onnx_errors",
    "test_onnx_export",
    "test_onnx_layouts",
    "test_onnx_samplers",
    "test_packaging",
    "test_procedural",
    "test_prompts",
    "test_publishing",
    "test_purity",
    "test_quality",
    "test_raw_stores",
    "test_ray_cluster",
    "test_reject",
    "test_rejected_left_out",
    "test_replace_rejected",
    "test_review",
    "test_run_lock",
    "test_score_report",
    "test_scores",
    "test_signals",
    "test_sources_found",
    "test_store",
    "test_store_damage",
    "test_store_hostile",
    "test_store_processes",
    "test_store_readers",
    "test_store_recipe",
    "test_store_repair",
    "test_store_steps",
    "test_store_version_1",
    "test_text",
    "test_worker_processes",
}
"""Modules whose tests say the same whichever Albumentations is installed; `make test-x` leaves them out."""

SLOW = {"test_campaign", "test_families_resumed", "test_ray_cluster", "test_store_steps"}
"""Modules that wait for clusters, kills or models; `make test-slow` runs them, `make test` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in ANY_HOST:
            item.add_marker("any_host")
        if item.path.stem in SLOW:
            item.add_marker("slow")


class Inverting:
    """Counterparts are negatives of their sources; with a `status` other than "ok" there are none."""

    prompts = ("negative",)

    def __init__(self, status: str = "ok") -> None:
        if status == "broken":
            raise OSError("no weights in /nowhere")
        self.status = status
        self.fingerprint = f"inverting-{status}"

    def check_prompt(self, prompt: str) -> None:
        if prompt != "negative":
            raise ValueError(f"unknown prompt {prompt!r}; known: negative")

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        return [
            Counterpart(
                np.ascontiguousarray(255 - crop(request.image, request.box)) if self.status == "ok" else None,
                self.status,
                request.prompt or "negative",
            )
            for request in requests
        ]


register_backend("inverting", "conftest:Inverting")


@pytest.fixture(autouse=True)
def unmixed_images_are_counted_from_zero() -> None:
    """A process warns of the first image of each kind that it leaves unmixed, and a worker runs many tests."""
    mixing = sys.modules.get("albu_diffusemix.mixing")
    if mixing is not None:
        mixing._unmixed.clear()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score and choose without drawing, which takes longer than all else that a test of them does."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(137)


@pytest.fixture
def photograph() -> np.ndarray:
    """A real photograph, 96x128 RGB uint8."""
    return cv2.resize(data.astronaut(), (128, 96), interpolation=cv2.INTER_AREA)


@pytest.fixture
def fractals(tmp_path: Path, rng: np.random.Generator) -> str:
    """A folder of three small fractals, as `fractals=` takes it."""
    folder = tmp_path / "fractals"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    return str(folder)


def make_image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    return image if dtype == "uint8" else (image / 255).astype(np.float32)


def drawn(pipeline: Any, **data: Any) -> list[dict[str, Any]]:
    """Run the pipeline, and give what each of our transforms drew, in order, without what the host adds."""
    with trace() as calls:
        pipeline(**data)
    return [{name: value for name, value in call.params.items() if name not in HOSTS_OWN} for call in calls]


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a data set is, and where the commands run."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))  # for workers; this process has read it
    if "datasets" in sys.modules:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "flower_data", raising=False)
    yield tmp_path / "data"
    sys.modules.pop("flower_data", None)


@pytest.fixture
def data_store(tmp_path: Path) -> Path:
    return tmp_path / "flowers.dm"


@pytest.fixture
def refused(data_store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Check that generate refuses a data set in one line that says the message."""

    def check(message: str, data: str, *flags: str) -> None:
        assert main(["generate", data, "-o", str(data_store), *flags]) == 2
        err = capsys.readouterr().err
        [line] = [line for line in err.splitlines() if line.startswith("albu-diffusemix: error: ")]
        assert message in line
        assert "Traceback" not in err

    return check

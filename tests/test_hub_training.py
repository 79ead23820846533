"""Training and looking by `hf://owner/name`, from a Hub on loopback."""

import albumentations as A
import numpy as np
import pytest
from hub_server import loopback_hub
from huggingface_hub import constants
from precomputed_files import Entry, counterpart_of, make_store, picture, precomputed
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix import HalfConcat
from albu_diffusemix.cli import main
from albu_diffusemix.images import write_image

# Of the library's own way to send a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

IMAGES = {f"class/{number}.png": picture(number, 48, 64) for number in range(4)}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """It holds a store of negatives that JPEG keeps, as owner/flowers."""
    entries = [Entry(key, image, counterpart_of(image, 48, 64)) for key, image in IMAGES.items()]
    store = make_store(tmp_path / "real.dm", *entries)
    with loopback_hub(tmp_path, monkeypatch) as server:
        assert main(["push", store, "owner/flowers", "--license", "mit"]) == 0
        yield server


class Photographs(Dataset):
    """Each image mixed by a pipeline that was loaded from a file; opened in the worker."""

    def __init__(self, file):
        self.file = file

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        key = list(IMAGES)[index]
        pipeline = A.load(self.file, data_format="yaml")
        return pipeline(image=IMAGES[key], diffusemix_metadata={"key": key})["image"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_training_by_address_needs_no_network_once_the_store_is_there(hub, tmp_path, monkeypatch):
    spec = precomputed("hf://owner/flowers")
    pipeline = A.Compose([HalfConcat(spec, mask_types=("whole",), p=1)])
    A.save(pipeline, tmp_path / "train.yaml", data_format="yaml")
    assert "store: hf://owner/flowers\n" in (tmp_path / "train.yaml").read_text()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    batches = list(DataLoader(Photographs(tmp_path / "train.yaml"), num_workers=2, multiprocessing_context="fork"))
    for image, mixed in zip(IMAGES.values(), batches, strict=True):
        np.testing.assert_allclose(mixed[0].numpy(), 255 - image, atol=24)
    assert not hub.requests


@pytest.mark.usefixtures("hub")
def test_every_command_that_reads_a_store_takes_an_address(tmp_path, capsys):
    for key, image in IMAGES.items():
        write_image(tmp_path / "data" / key, image)
    A.save(A.Compose([HalfConcat(precomputed("hf://owner/flowers"), p=1)]), tmp_path / "p.yaml", data_format="yaml")
    sheet, data = str(tmp_path / "sheet.png"), str(tmp_path / "data")
    assert main(["status", "hf://owner/flowers"]) == 0
    assert main(["verify", "hf://owner/flowers@main"]) == 0
    assert main(["doctor", data, "hf://owner/flowers"]) == 0
    assert main(["preview", data, "-o", sheet, "--pipeline", str(tmp_path / "p.yaml")]) == 0
    assert main(["export", "hf://owner/flowers", "--to", "folder", "-o", str(tmp_path / "out")]) == 0
    assert "hf://owner/flowers has a counterpart for 4 of 4 images (100.0 %)" in capsys.readouterr().out

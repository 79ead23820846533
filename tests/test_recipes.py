"""Every recipe of the documentation, run as it stands on real photographs."""

import copy
import re
import shutil
import sys
import types
from pathlib import Path

import albumentations as A
import cv2
import datasets
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr

from albu_diffusemix.cli import main
from albu_diffusemix.demo import demo_photographs
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.store import Store
from albu_diffusemix.tracing import trace

PAGE = (Path(__file__).parents[1] / "docs/recipes.md").read_text()
RECIPES = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
(
    YAML,
    TORCH,
    IMAGE_FOLDER,
    FOLDS,
    HUGGING_FACE,
    TRAINER,
    SCHEDULE,
    VALIDATION,
    TEST_TIME,
    MASKS,
    BOXES,
    MOSAIC,
    DIVERGENCE,
) = RECIPES


@pytest.fixture(autouse=True)
def photographs(tmp_path, monkeypatch):
    """What the page supposes: a photograph of each class, and its mask."""
    monkeypatch.chdir(tmp_path)
    for name, image in demo_photographs():
        write_image(Path("photographs") / name / "001.jpg", image)
        write_image(Path("masks") / name / "001.png", (image > 128).astype(np.uint8))


@pytest.fixture(scope="module")
def made_store(tmp_path_factory):
    """A store of the photographs, made once."""
    folder = tmp_path_factory.mktemp("made")
    for name, image in demo_photographs():
        write_image(folder / "photographs" / name / "001.jpg", image)
    assert main(["generate", str(folder / "photographs"), "-o", str(folder / "photographs.dm"), "--size", "64"]) == 0
    return folder / "photographs.dm"


@pytest.fixture
def store(made_store):
    shutil.copytree(made_store, "photographs.dm")
    return Store.open("photographs.dm")


def counterpart(store, key):
    data, _ = store.get(key, "0000")
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def blocks(recipe, language):
    return re.findall(rf"```{language}\n(.*?)```", RECIPES[recipe], flags=re.DOTALL)


def run(recipe):
    """Write the files that a recipe shows, run its code from top to bottom, and give the names it leaves."""
    for block in blocks(recipe, "yaml"):
        Path(re.match(r"# (\S+)\n", block)[1]).write_text(block)
    names = {}
    exec("\n".join(blocks(recipe, "python")), names)  # noqa: S102  the page is ours
    return names


def loss_of_the_page():
    definition, _ = blocks(DIVERGENCE, "python")
    names = {}
    exec(definition, names)  # noqa: S102  the page is ours
    return names["jsd_cross_entropy"]


def test_the_table_of_the_page_leads_to_every_recipe():
    assert re.findall(r"\| \[(.*?)\]\(#", PAGE) == list(RECIPES)


def test_a_pipeline_file_written_by_hand_loads_in_three_lines_and_runs():
    pipeline = run(YAML)["pipeline"]
    assert len("".join(blocks(YAML, "python")).splitlines()) == 3
    assert pipeline.transforms[0].prompts == ("snowy", "sunset", "watercolor art")
    mixed = pipeline(image=read_image(Path("photographs/coffee/001.jpg")))["image"]
    assert (mixed.shape, mixed.dtype) == ((64, 64, 3), np.float32)


def test_a_pipeline_file_for_both_hosts_gets_its_boxes_in_code():
    run(YAML)
    [expression] = re.findall(r"`(A\.Compose\(\[A\.load.*?)`", RECIPES[YAML])
    pipeline = eval(expression, {"A": A})  # noqa: S307  the page is ours
    photograph = read_image(Path("photographs/coffee/001.jpg"))
    [box] = pipeline(image=photograph, bboxes=[[0, 0, photograph.shape[1], photograph.shape[0]]])["bboxes"]
    assert np.allclose(box, [0, 0, 64, 64], atol=1e-3)


def test_a_loader_gives_batches_of_tensors():
    names = run(TORCH)
    assert names["images"].shape == (2, 3, 64, 64)
    assert torch.isfinite(names["images"]).all()
    assert names["photographs"].classes == ["astronaut", "chelsea", "coffee", "rocket"]


def test_a_hugging_face_data_set_is_augmented_again_at_each_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    train = run(HUGGING_FACE)["train"]
    first, again = (train[0]["pixel_values"] for _ in range(2))
    assert first.shape == again.shape == (3, 64, 64)
    assert not torch.equal(first, again)
    assert train[:4]["label"] == [0, 1, 2, 3]


class ImageFolder:
    """torchvision's, as far as the recipe uses it: the same arguments, the same order of calls."""

    def __init__(self, root, transform=None, target_transform=None, loader=None, is_valid_file=None):
        del target_transform, is_valid_file
        self.classes = sorted(folder.name for folder in Path(root).iterdir())
        self.samples = [(str(path), self.classes.index(path.parent.name)) for path in sorted(Path(root).rglob("*.jpg"))]
        self.loader, self.transform = loader, transform

    def __getitem__(self, index):
        path, target = self.samples[index]
        return self.transform(self.loader(path)), target


@pytest.mark.usefixtures("store")
def test_an_image_folder_gives_each_image_with_the_counterpart_of_its_key(monkeypatch):
    module = types.ModuleType("torchvision.datasets")
    module.ImageFolder = ImageFolder
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)
    names = run(IMAGE_FOLDER)
    with trace() as calls:
        drawn = [names["photographs"][index] for index in range(4)]
    assert [call.params["key"] for call in calls] == [
        f"{name}/001.jpg" for name in ("astronaut", "chelsea", "coffee", "rocket")
    ]
    assert {call.params["variant"] for call in calls} == {"0000"}
    assert [(image.shape, label) for image, label in drawn] == [((3, 64, 64), label) for label in range(4)]


def test_five_folds_hold_out_each_image_once_and_share_one_store():
    photographs = demo_photographs()
    rows = [(f"id{number:02}", photographs[number % 4][1][number:, :], number % 2) for number in range(20)]
    for name, image, _ in rows:
        write_image(Path(f"train_images/{name}.jpg"), image)
    table = "".join(f"{name},{label}\n" for name, _, label in rows)
    Path("train.csv").write_text("image_id,label\n" + table)
    [command] = re.findall(r"^ {4}albu-diffusemix (.*)$", RECIPES[FOLDS], flags=re.MULTILINE)
    assert main(command.split()) == 0
    names = run(FOLDS)
    splits = list(names["folds"](names["rows"]))
    held_out = [row["image_id"] for _, validation in splits for row in validation]
    assert sorted(held_out) == sorted(name for name, *_ in rows)
    for train, validation in splits:
        assert not {row["image_id"] for row in train} & {row["image_id"] for row in validation}
        assert [row["label"] for row in validation].count("0") == 2
    names["training"].transforms[0].p = 1
    with trace() as calls:
        images = [names["Table"](names["rows"], names["training"], keyed=True)[index][0] for index in range(20)]
    assert {call.params["variant"] for call in calls} == {"0000"}
    assert len(calls) == len(images) == 20


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning", "ignore:OMP_NUM_THREADS:UserWarning")
@pytest.mark.usefixtures("store")
def test_the_trainer_trains_on_mixed_images_by_their_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names = run(TRAINER)
    assert names["trained"].global_step == 2
    names["pipeline"].transforms[0].p = 1
    with trace() as calls:
        batch = names["trainer"].train_dataset[:4]
    assert [call.params["key"] for call in calls] == names["photographs"]["key"]
    assert all(call.params["variant"] == "0000" for call in calls)
    assert batch["labels"] == [0, 1, 2, 3]


@pytest.fixture
def scheduled():
    names = run(SCHEDULE)
    names["clean"] = A.Compose(names["photographs"].pipeline.transforms[1:])
    return names


def shares_mixed(names, p, epochs):
    """Set p, and count the images that differ from the clean ones, in workers that are kept."""
    photographs = names["photographs"]
    clean = [names["clean"](image=read_image(path))["image"] for path in photographs.paths]
    photographs.p.fill_(p)
    drawn = [image for _ in range(epochs) for batch in names["loader"] for image in batch]
    return sum(not torch.equal(image, clean[n % len(clean)]) for n, image in enumerate(drawn)) / len(drawn)


def test_p_follows_the_schedule_in_workers_that_are_kept(scheduled):
    assert scheduled["loader"].persistent_workers
    assert shares_mixed(scheduled, 1.0, 2) == 1
    assert shares_mixed(scheduled, 0.0, 2) == 0
    assert 0 < shares_mixed(scheduled, 0.5, 20) < 1
    assert shares_mixed(scheduled, 1.0, 2) == 1


def test_the_schedule_grows_then_turns_diffusemix_off(scheduled):
    each = [scheduled["p_of"](epoch) for epoch in range(scheduled["EPOCHS"])]
    assert np.allclose(each, [0.5 / 3, 1 / 3, 0.5, 0.5, 0, 0])
    assert scheduled["photographs"].p.item() == 0


def test_a_strict_validation_pipeline_refuses_the_key_and_one_with_p_of_0_takes_it():
    names = run(VALIDATION)
    assert torch.equal(names["clean"], names["equal"])
    with pytest.raises(ValueError, match="diffusemix_metadata"):
        names["validation"](image=names["image"], diffusemix_metadata={"key": "coffee/001.jpg"})


def test_at_test_time_each_image_is_shown_as_its_counterpart(store):
    shown = run(TEST_TIME)["shown"]
    assert len(shown) == 4
    for key, image in shown.items():
        expected = cv2.resize(counterpart(store, key), (64, 64))
        assert np.abs(image.astype(int) - expected).mean() < 6


def test_a_mask_goes_where_the_geometry_puts_it_and_keeps_its_values():
    names = run(MASKS)
    pipeline, image, mask = names["pipeline"], names["image"], names["mask"]
    places = np.arange(1, mask.size + 1, dtype=np.float32).reshape(mask.shape)
    pipeline.set_random_seed(137)
    moved = pipeline(image=image, mask=places)["mask"].astype(int)
    assert np.array_equal(names["augmented"]["mask"], np.append(0, mask)[moved])
    assert 0 < names["augmented"]["mask"].mean() < 1


def test_boxes_and_keypoints_go_where_the_flip_puts_them():
    names = run(BOXES)
    width = names["image"].shape[1]
    assert np.allclose(names["augmented"]["bboxes"], [[width - 90 - 210, 30, 210, 200]], atol=0.01)
    assert np.allclose(names["augmented"]["keypoints"], [[width - 1 - 195, 60]], atol=0.01)
    assert list(names["augmented"]["names"]) == ["cup"]


def test_a_mosaic_holds_mixed_images_with_their_boxes():
    names = run(MOSAIC)
    photographs = [read_image(path) for path in sorted(Path("photographs").rglob("*.jpg"))]
    assert not any(
        np.array_equal(item["image"], image) for item, image in zip(names["items"], photographs, strict=True)
    )
    augmented = names["augmented"]
    assert augmented["image"].shape == (256, 256, 3)
    assert sorted(augmented["names"]) == ["astronaut", "chelsea", "coffee", "rocket"]
    assert np.shape(augmented["bboxes"]) == (4, 4)


def test_the_divergence_of_equal_views_is_zero(rng):
    logits = torch.from_numpy(rng.normal(size=(5, 4))).repeat(3, 1)
    labels = torch.tensor([0, 1, 2, 3, 0])
    loss = loss_of_the_page()(logits, labels)
    assert torch.isclose(loss, torch.nn.functional.cross_entropy(logits[:5], labels), rtol=1e-9)


def test_the_loss_is_the_equation_of_augmix(rng):
    logits, labels = rng.normal(scale=3, size=(15, 4)), [0, 1, 2, 3, 0]
    log_p = log_softmax(logits, axis=1).reshape(3, 5, 4)
    mean = np.exp(log_p).mean(axis=0)
    divergence = rel_entr(np.exp(log_p), mean).sum(axis=2).mean(axis=0)
    expected = (-log_p[0, range(5), labels] + 12 * divergence).mean()
    loss = loss_of_the_page()(torch.from_numpy(logits), torch.tensor(labels))
    assert np.isclose(loss.item(), expected, rtol=1e-9)


def test_every_view_is_learnt_from(rng):
    logits = torch.from_numpy(rng.normal(size=(15, 4))).requires_grad_()
    loss_of_the_page()(logits, torch.tensor([0, 1, 2, 3, 0])).backward()
    assert (logits.grad.abs().sum(dim=1) > 0).all()


def test_training_with_the_divergence_lowers_it():
    names = run(DIVERGENCE)
    trained, views, labels = names["model"], torch.stack(names["splits"]), names["labels"]
    untrained = copy.deepcopy(trained)
    torch.manual_seed(137)
    for layer in (untrained[0], untrained[-1]):
        layer.reset_parameters()
    before, after = (names["jsd_cross_entropy"](model(views), labels) for model in (untrained, trained))
    assert after < before

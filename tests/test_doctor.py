import sys

import numpy as np
import pytest
from PIL import Image
from precomputed_files import Entry, counterpart_of, make_store, noise, picture

from albu_diffusemix.cli import main
from albu_diffusemix.images import write_image
from albu_diffusemix.store import Store

IMAGES = {f"class/{number}.png": picture(number, 24, 32) for number in range(4)}


@pytest.fixture
def folder(tmp_path):
    for key, image in IMAGES.items():
        write_image(tmp_path / "images" / key, image)
    return tmp_path / "images"


@pytest.fixture
def store(tmp_path):
    entries = [Entry(key, image, counterpart_of(image, 16, 32)) for key, image in IMAGES.items()]
    return make_store(tmp_path / "flowers.dm", *entries)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of data sets into the folder where the command is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "user_data", raising=False)

    def write(code):
        (tmp_path / "user_data.py").write_text(f"from test_doctor import IMAGES\nimport numpy as np\n{code}\n")
        return "user_data:data"

    yield write
    sys.modules.pop("user_data", None)


@pytest.fixture
def doctor(capsys):
    def run(data, store, *options):
        status = main(["doctor", str(data), str(store), *options])
        out, err = capsys.readouterr()
        return status, " ".join(out.split()), err.strip()

    return run


def test_full_coverage_of_a_folder_is_100_percent_and_exit_0(doctor, folder, store):
    status, out, _ = doctor(folder, store)
    assert (status, out) == (0, f"{store} has a counterpart for 4 of 4 images (100.0 %).")


def test_misses_are_grouped_by_cause_with_an_example_and_exit_1(doctor, folder, store):
    write_image(folder / "class/2.png", np.ascontiguousarray(IMAGES["class/2.png"][:, ::-1]))
    write_image(folder / "class/3.png", np.ascontiguousarray(IMAGES["class/3.png"][:, ::-1]))
    write_image(folder / "new/5.png", noise(5, 24, 32))
    status, out, _ = doctor(folder, store)
    assert status == 1
    assert "has a counterpart for 2 of 5 images (40.0 %)" in out
    assert "2 x the image is flipped left to right such as class/2.png put DiffuseMix first" in out
    assert "1 x the store has no such key such as new/5.png: its keys are like 'class/0.png'" in out
    assert out.index("2 x") < out.index("1 x")


def test_a_folder_beside_the_root_is_told_the_keys(doctor, folder, store):
    status, out, _ = doctor(folder / "class", store)
    assert (status, "(0.0 %)" in out) == (1, True)
    assert (
        "4 x the store has the image under another key such as 0.png: asked for '0.png', the store has 'class/0.png'"
        in out
    )


def test_an_unreadable_image_is_a_miss(doctor, folder, store):
    (folder / "broken.png").write_bytes(b"no")
    status, out, _ = doctor(folder, store)
    assert status == 1
    assert "1 x the image cannot be read such as broken.png: " in out


def test_almost_all_is_not_shown_as_100_percent(doctor, module, store):
    status, out, _ = doctor(module("data = [*IMAGES.values()] * 500 + [np.zeros((9, 9, 3), np.uint8)]"), store)
    assert (status, "2,000 of 2,001 images (99.9 %)" in out) == (1, True)


def test_a_failed_image_says_why(doctor, folder, store):
    write_image(folder / "class/9.png", noise(9, 8, 8))
    with Store.create(store, Store.open(store).recipe).writer() as writer:
        writer.fail("class/9.png", "0000", "blank")
    assert "1 x no counterpart could be made: blank such as class/9.png" in doctor(folder, store)[1]


def test_a_stretch_is_a_match_where_training_takes_it_for_one(doctor, module, store):
    data = module("data = [{'image': image[::2], 'key': key} for key, image in IMAGES.items()]")
    status, out, _ = doctor(data, store)
    assert (status, "4 x the image has another size" in out) == (1, True)
    assert doctor(data, store, "--on-mismatch", "stretch")[0] == 0


FILL = "    __init__ = lambda self: self.extend(image[::2] for image in IMAGES.values())"
KINDS = {
    "arrays": "data = list(IMAGES.values())",
    "float arrays": "data = [(image / 255).astype(np.float32) for image in IMAGES.values()]",
    "one array": "data = np.stack(list(IMAGES.values()))",
    "tuples": "data = [(image, 3) for image in IMAGES.values()]",
    "dicts": "data = [{'image': image, 'label': 3} for image in IMAGES.values()]",
    "PIL": "from PIL import Image\ndata = [(Image.fromarray(image), 3) for image in IMAGES.values()]",
    "keys in items": "data = [{'image': image[::2], 'key': key} for key, image in IMAGES.items()]",
    "a list of keys": "class data(list):\n    keys = list(IMAGES)\n" + FILL,
    "a method of keys": "class data(list):\n    keys = lambda self: list(IMAGES)\n" + FILL,
    "a function": "def data(): return list(IMAGES.values())",
    "an iterable": "class data:\n    def __iter__(self): return iter(IMAGES.values())",
    "a class": "class data:\n    __len__ = lambda self: 4\n    __getitem__ = lambda self, n: list(IMAGES.values())[n]",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_may_be(doctor, module, store, kind):
    status, out, err = doctor(module(KINDS[kind]), store, "--on-mismatch", "stretch")
    assert (status, "4 of 4 images" in out, err) == (0, True, "")


def test_a_key_of_the_item_counts_before_that_of_the_data_set(doctor, module, store):
    code = """
class data(list):
    keys = ["x"] * 4
    def __init__(self): self.extend({"image": image, "key": key} for key, image in IMAGES.items())
"""
    assert doctor(module(code), store)[0] == 0


def test_an_item_that_raises_is_a_miss(doctor, module, store):
    code = "class data:\n    __len__ = lambda self: 4\n    __getitem__ = lambda self, n: [IMAGES['class/0.png']][n]"
    status, out, _ = doctor(module(code), store)
    expected = (
        "3 x the image cannot be read such as item 1: item 1 of user_data:data cannot be read: IndexError: list index"
    )
    assert (status, expected in out) == (1, True)


@pytest.mark.parametrize("item", ["'cat'", "{'label': 3}"])
def test_an_item_that_is_not_an_image_is_a_miss(doctor, module, store, item):
    status, out, _ = doctor(module(f"data = [IMAGES['class/0.png'], {item}]"), store)
    expected = (
        "1 x the image cannot be read such as item 1: item 1 of user_data:data is not an image that DiffuseMix takes"
    )
    assert (status, expected in out) == (1, True)


def test_a_key_that_is_not_valid_in_a_store_is_a_miss(doctor, module, store):
    data = module("data = [{'image': IMAGES['class/0.png'], 'key': '/data/0.png'}]")
    report = doctor(data, store)[1]
    assert "1 x its key is not valid in a store such as /data/0.png: key '/data/0.png' is absolute" in report


def test_a_file_whose_name_is_not_valid_as_a_key_is_a_miss(doctor, folder, store):
    write_image(folder / "class\\9.png", IMAGES["class/0.png"])
    status, out, _ = doctor(folder, store)
    assert (status, "4 of 5 images" in out) == (1, True)
    assert "1 x its key is not valid in a store such as class\\9.png: key 'class\\\\9.png' has a backslash" in out


def test_pil_images_are_seen_as_training_sees_them_without_exif(doctor, tmp_path, module, store):
    image = Image.fromarray(np.ascontiguousarray(np.rot90(IMAGES["class/0.png"])))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    write_image(tmp_path / "upright/1.png", IMAGES["class/0.png"])
    data = module("from PIL import Image\ndata = [Image.open('turned.png')]")
    assert "the image is turned a quarter counter-clockwise such as item 0" in doctor(data, store)[1]


WRONG = {
    "no module": ("nowhere_at_all:data", "module 'nowhere_at_all' cannot be imported: ModuleNotFoundError"),
    "no attribute": ("user_data:dota", "module 'user_data' has no 'dota'; did you mean 'data'?"),
    "neither": (
        "no/such/folder",
        "there is no 'no/such/folder': check the path of the folder or manifest; a data set",
    ),
    "no data set": ("user_data:number", "user_data:number is of type int: name a data set"),
    "empty": ("user_data:empty", "user_data:empty is empty"),
    "empty iterable": ("user_data:nothing", "user_data:nothing is empty"),
    "failing function": ("user_data:fails", "user_data:fails() gives no data set: KeyError: 'x'"),
    "wants arguments": ("user_data:wants", "user_data:wants() gives no data set: TypeError"),
    "number as key": ("user_data:numbered", "the key of item 0 of user_data:numbered must be a string; got 7"),
    "too few keys": ("user_data:Keyed", "user_data:Keyed has 2 keys for 1 items"),
    "breaks off": ("user_data:breaks", "user_data:breaks stops with OSError: disk"),
}
CODE = """
data, number, empty = [], 3, []
image = np.zeros((9, 9, 3), np.uint8)
numbered = [{"image": image, "key": 7}]
def fails(): return {}["x"]
def wants(root): return root
class nothing:
    def __iter__(self): return iter(())
class Keyed(list):
    keys = ["1.jpg", "2.jpg"]
    def __init__(self): self.append(image)
class breaks:
    def __iter__(self):
        yield image
        raise OSError("disk")
"""


@pytest.mark.parametrize("what", WRONG)
def test_bad_data_is_a_one_line_error_and_exit_2(doctor, module, store, what):
    data, complaint = WRONG[what]
    module(CODE)
    status, out, err = doctor(data, store)
    assert (status, out) == (2, "")
    assert err.startswith(f"albu-diffusemix: error: {complaint}")
    assert "\n" not in err


def test_a_module_that_fails_to_import_is_a_one_line_error(doctor, module, store):
    assert doctor(module("1 / 0"), store)[::2] == (
        2,
        "albu-diffusemix: error: module 'user_data' cannot be imported: ZeroDivisionError: division by zero",
    )


def test_an_empty_folder_and_a_missing_store_are_one_line_errors(doctor, tmp_path, folder, store):
    (tmp_path / "empty").mkdir()
    assert doctor(tmp_path / "empty", store)[0] == 2
    status, _, err = doctor(folder, tmp_path / "nowhere")
    assert (status, "no store at" in err, "\n" in err) == (2, True, False)


def test_a_manifest_is_looked_at_as_the_job_reads_it(folder, store, doctor):
    lines = [f"{key},{key}" for key in IMAGES]
    (folder / "manifest.csv").write_text("\n".join(["path,key", *lines]))
    status, out, _ = doctor(folder / "manifest.csv", store)
    assert (status, "4 of 4 images (100.0 %)" in out) == (0, True)

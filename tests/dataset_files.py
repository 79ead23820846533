"""The same images as each kind of data set: DATA and its columns, the keys that fit in training, and the labels."""

import io
import json
import tarfile

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from albu_diffusemix.datasets import Columns
from albu_diffusemix.images import write_image

COUNT = 6
LABELS = ["rose", "tulip", "rose", "tulip", "rose", "rose"]
KEYS = [f"b{9 - number}" for number in range(COUNT)]
ROWS = [f"{number:06d}" for number in range(COUNT)]


def image(number, height=32, width=48):
    rng = np.random.default_rng(number)
    return np.repeat(np.repeat(rng.integers(0, 256, (4, 4, 3), np.uint8), height // 4, 0), width // 4, 1)


IMAGES = [image(number) for number in range(COUNT)]
STACK = np.stack(IMAGES)
PNG = cv2.imencode(".png", IMAGES[0])[1].tobytes()
NUMBERS = [sorted(set(LABELS)).index(label) for label in LABELS]


def make_folder(folder):
    for key, label, picture in zip(ROWS, LABELS, IMAGES, strict=True):
        write_image(folder / label / f"{key}.png", picture)
    return str(folder), Columns(), [f"{label}/{key}.png" for key, label in zip(ROWS, LABELS, strict=True)], LABELS


def make_npz(folder):
    np.savez(folder / "flowers.npz", labels=np.array(LABELS), images=np.stack(IMAGES))
    return str(folder / "flowers.npz"), Columns(), ROWS, LABELS


def make_compressed_npz(folder):
    np.savez_compressed(folder / "flowers.npz", x_train=np.stack(IMAGES), y_train=np.array(NUMBERS))
    return str(folder / "flowers.npz"), Columns(image="x_train", label="y_train"), ROWS, list(map(str, NUMBERS))


def make_npy(folder):
    np.save(folder / "train_images.npy", np.stack(IMAGES))
    np.save(folder / "train_labels.npy", np.array(NUMBERS)[:, np.newaxis])
    return str(folder / "train_images.npy"), Columns(), ROWS, list(map(str, NUMBERS))


def make_webdataset(folder):
    for number, half in enumerate((slice(0, 3), slice(3, None))):
        with tarfile.open(folder / f"flowers-{number:02d}.tar", "w") as tar:
            for key, label, picture in list(zip(ROWS, LABELS, IMAGES, strict=True))[half]:
                add_members(
                    tar, {f"f/{key}.seg.json": b"{}", f"f/{key}.png": png(picture), f"f/{key}.cls": label.encode()}
                )
    return str(folder / "flowers-{00..01}.tar"), Columns(), [f"f/{key}" for key in ROWS], LABELS


def make_webdataset_with_json(folder):
    with tarfile.open(folder / "flowers.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for key, number, picture in zip(ROWS, NUMBERS, IMAGES, strict=True):
            fields = json.dumps({"class": number}).encode()
            add_members(tar, {f"./{key}.mask.png": b"no", f"./{key}.x.png": png(picture), f"./{key}.json": fields})
    return str(folder / "flowers.tar"), Columns(image="x.png", label="class"), ROWS, list(map(str, NUMBERS))


def make_kaggle_table(folder):
    for key, picture in zip(KEYS, IMAGES, strict=True):
        write_image(folder / "train_images" / f"{key}.png", picture)
    lines = [f"{label},{key}" for label, key in zip(LABELS, KEYS, strict=True)]
    (folder / "train.csv").write_text("\n".join(["label,image_id", *lines]))
    return str(folder / "train.csv"), Columns(str(folder / "train_images"), key="image_id", label="label"), KEYS, LABELS


def make_saved_dataset(folder):
    split = hf_dataset()
    DatasetDict(train=split, test=split.select([0])).save_to_disk(folder / "saved", num_shards={"train": 2, "test": 1})
    return str(folder / "saved"), Columns(split="train"), ROWS, LABELS


def make_saved_dataset_with_keys(folder):
    hf_dataset().select(range(6)).save_to_disk(folder / "saved")
    return str(folder / "saved"), Columns(key="id", label="id", image="image"), KEYS, KEYS


def make_parquet_of_hugging_face(folder):
    for number in range(2):
        hf_dataset().shard(2, number, contiguous=True).to_parquet(folder / f"train-{number}.parquet", batch_size=2)
    return str(folder / "train-{0,1}.parquet"), Columns(), ROWS, LABELS


def make_parquet_of_bytes(folder):
    table = pa.table({"file": [png(picture) for picture in IMAGES], "label": NUMBERS, "id": KEYS})
    pq.write_table(table, folder / "flowers.parquet", row_group_size=2)
    return str(folder / "flowers.parquet"), Columns(key="id"), KEYS, list(map(str, NUMBERS))


def hf_dataset():
    names = sorted(set(LABELS))
    columns = {"image": [{"bytes": png(picture), "path": None} for picture in IMAGES], "label": NUMBERS, "id": KEYS}
    features = Features({"image": Image(), "label": ClassLabel(names=names), "id": Value("string")})
    return Dataset.from_dict(columns, features)


def png(picture):
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def add_members(tar, members):
    for name, data in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def make_dicts(folder):
    items = "{'image': image, 'key': f'k{n}', 'label': LABELS[n]}"
    write_module(folder, f"data = [{items} for n, image in enumerate(images)]")
    return "flower_data:data", Columns(), [f"k{number}" for number in range(COUNT)], LABELS


def make_torchvision_like(folder):
    code = """
from PIL import Image
class Flowers:
    classes = sorted(set(LABELS))
    targets = [sorted(set(LABELS)).index(label) for label in LABELS]
    def __len__(self): return len(images)
    def __getitem__(self, number): return Image.fromarray(images[number]), self.targets[number]
def data(): return Flowers()
"""
    write_module(folder, code)
    return "flower_data:data", Columns(), ROWS, LABELS


def write_module(folder, code):
    np.save(folder / "pixels.npy", np.stack(IMAGES))
    start = f"import numpy as np\nLABELS = {LABELS!r}\nimages = np.load({str(folder / 'pixels.npy')!r})\n"
    (folder / "flower_data.py").write_text(start + code + "\n")


def save_npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return "a.npz"


def write_tar(path, samples, keep=None):
    with tarfile.open(path, "w") as tar:
        add_members(tar, samples)
    path.write_bytes(path.read_bytes()[:keep])
    return path.name


def write_parquet(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return "a.parquet"


FORMATS = {name.removeprefix("make_"): make for name, make in globals().items() if name.startswith("make_")}


def flags_of(columns):
    """What the command line says for the columns."""
    flags = ["--images", "--key-column", "--label-column", "--image-column", "--split"]
    return [word for flag, value in zip(flags, columns, strict=True) if value for word in (flag, value)]

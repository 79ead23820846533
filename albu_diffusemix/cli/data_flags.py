"""The flags that say where a data set has its images, keys and labels."""

import argparse

from albu_diffusemix.datasets import Columns

__all__ = ["DATA", "add_data_flags", "columns_of"]

DATA = (
    "folder of images, .csv or .jsonl manifest, .csv table beside --images, .npy or .npz arrays, "
    "data.yaml of YOLO or its folder, .json of COCO beside --images, "
    ".tar of WebDataset (or train-{0000..0099}.tar), .parquet, folder of save_to_disk, hf://owner/name[@revision], "
    "or module:attribute"
)


def add_data_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags to a command."""
    flags = command.add_argument_group("where the parts of DATA are")
    flags.add_argument("--images", metavar="DIR", help="folder of the images that a .csv table or COCO's .json names")
    flags.add_argument("--image-column", metavar="NAME", help="column or array with the images")
    flags.add_argument("--key-column", metavar="NAME", help="column with the keys")
    flags.add_argument("--label-column", metavar="NAME", help="column or array with the classes")
    flags.add_argument("--split", metavar="NAME", help="part of a data set of Hugging Face or YOLO, such as train")


def columns_of(options: argparse.Namespace) -> Columns:
    """Return what the flags say."""
    return Columns(options.images, options.key_column, options.label_column, options.image_column, options.split)

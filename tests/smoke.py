"""What a user does first, with the wheel installed and no checkout near. `make smoke` runs it in an empty folder."""

import subprocess
import sys
from pathlib import Path

import albumentations as A

import albu_diffusemix
from albu_diffusemix import DiffuseMix
from albu_diffusemix.images import read_image

COMMAND = Path(sys.executable).with_name("albu-diffusemix")


def run(*arguments: str) -> str:
    """Run a command of ours; return what it printed."""
    done = subprocess.run([COMMAND, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    sys.stdout.write(done.stdout)
    return done.stdout


def saved_and_loaded(transform: A.BasicTransform) -> A.Compose:
    """Return a pipeline as a file of it gives it back."""
    A.save(A.Compose([transform, A.RandomResizedCrop((64, 64)), A.HorizontalFlip()]), "train.yaml", data_format="yaml")
    pipeline = A.load("train.yaml", data_format="yaml")
    pipeline.set_random_seed(137)
    return pipeline


def main() -> None:
    """Import, demo, a pipeline in a file, generate, status, train from the store."""
    assert Path(albu_diffusemix.__file__).is_relative_to(sys.prefix), albu_diffusemix.__file__
    assert not {"torch", "ray", "onnxruntime"} & sys.modules.keys()
    run("--version")
    run("demo")
    image = read_image(Path("diffusemix_demo/photographs/coffee.png"))
    first, second = (saved_and_loaded(DiffuseMix(p=1))(image=image)["image"] for _ in range(2))
    assert first.shape == (64, 64, 3)
    assert (first == second).all()
    run("generate", "diffusemix_demo/photographs", "-o", "demo.dm", "--backend", "procedural", "--size", "128")
    assert "4 of 4 sources" in run("status", "demo.dm")
    stored = saved_and_loaded(DiffuseMix(backend={"name": "precomputed", "store": "demo.dm"}, p=1))
    assert stored(image=image)["image"].shape == (64, 64, 3)


if __name__ == "__main__":
    main()

"""One rank of a distributed training run: what its DataLoader workers draw under the init functions of frameworks.

Run as `python training_ranks.py RANK FOLDER`; the answers lie in FOLDER/RANK.json.
"""

import functools
import json
import os
import random
import sys
import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Dataset, DistributedSampler, get_worker_info
from transformers import Trainer, TrainingArguments

from albu_diffusemix import FractalBlend, worker_init_fn
from albu_diffusemix.tracing import trace

RANKS = WORKERS = EPOCHS = 2
LENGTH = 16
IMAGE = np.full((1, 1, 3), 128, np.float32) / 255


class Drawn(Dataset):
    """Gives what a pipeline drew: our opacity, and a native transform's brightness."""

    def __init__(self):
        self.ours = A.Compose([FractalBlend(alpha_range=(0, 1), p=1)])
        self.native = A.Compose([A.RandomBrightnessContrast(p=1)])

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        with trace() as calls:
            self.ours(image=IMAGE)
        return calls[0].params["alpha"], float(self.native(image=IMAGE)["image"][0, 0, 0])


def put_rank_into_torchs_seed(worker_id, rank):
    """As Lightning does with `seed_everything(workers=True)`: the rank counts in the worker alone."""
    torch.manual_seed(
        np.random.SeedSequence([torch.initial_seed() % 2**32, worker_id, rank]).generate_state(1)[0].item()
    )


PAGE = (Path(__file__).parents[1] / "docs/training.md").read_text()
names: dict = {}
exec(PAGE.split("```python\n")[1].split("```")[0], names)  # noqa: S102  the page is ours
both, OwnTrainer, seeding_of_timm = names["both"], names["OwnTrainer"], names["seeding"]


def init_as_timm(worker_id, worker_seeding):
    """As timm's `create_loader` starts a worker, where `worker_seeding` is a function."""
    info = get_worker_info()
    assert info.id == worker_id
    seed = worker_seeding(info)
    random.seed(seed)
    torch.manual_seed(seed)


def stay_as_they_are(items):
    return items


def plain_loader(init):
    dataset = Drawn()
    sampler = DistributedSampler(dataset, shuffle=False)
    return DataLoader(
        dataset, 1, sampler=sampler, num_workers=WORKERS, worker_init_fn=init, collate_fn=stay_as_they_are
    )


def accelerated_loader():
    loader = DataLoader(
        Drawn(), shuffle=True, num_workers=WORKERS, worker_init_fn=worker_init_fn, collate_fn=stay_as_they_are
    )
    return Accelerator(cpu=True).prepare(loader)


def loader_of(trainer):
    arguments = TrainingArguments(
        output_dir="trained",
        use_cpu=True,
        per_device_train_batch_size=1,
        dataloader_num_workers=WORKERS,
        remove_unused_columns=False,
        report_to=[],
    )
    model = torch.nn.Linear(1, 1)
    return trainer(model, arguments, stay_as_they_are, Drawn()).get_train_dataloader()


def draw(seed, make_loader):
    seed()
    loader = make_loader()
    return [pair for _ in range(EPOCHS) for [pair] in loader]


def stacks(rank):
    lightning = functools.partial(put_rank_into_torchs_seed, rank=rank)
    timm = functools.partial(init_as_timm, worker_seeding=seeding_of_timm)
    alike, by_rank = functools.partial(set_seed, 137), functools.partial(set_seed, 137 + rank)
    return {
        "lightning": (alike, functools.partial(plain_loader, lightning)),
        "lightning and ours": (alike, functools.partial(plain_loader, functools.partial(both, theirs=lightning))),
        "the Trainer": (alike, functools.partial(loader_of, Trainer)),
        "the Trainer and ours": (alike, functools.partial(loader_of, OwnTrainer)),
        "accelerate and ours": (functools.partial(set_seed, 137, device_specific=True), accelerated_loader),
        "timm and ours": (by_rank, functools.partial(plain_loader, timm)),
        "ours in place of the framework's": (alike, functools.partial(plain_loader, worker_init_fn)),
        "plain DDP and ours": (by_rank, functools.partial(plain_loader, worker_init_fn)),
    }


def main(rank, folder):
    warnings.simplefilter("ignore", UserWarning)  # accelerate's, of the number of threads
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_RANK=str(rank), MASTER_ADDR="localhost", MASTER_PORT="0"
    )
    os.chdir(folder)
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(str(folder / "ranks"), RANKS), rank=rank, world_size=RANKS
    )
    answers = {name: [draw(*stack), draw(*stack)] for name, stack in stacks(rank).items()}
    (folder / f"{rank}.json").write_text(json.dumps(answers))
    torch.distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

"""One rank of a distributed training run: what its DataLoader workers draw under the init functions of frameworks.

Run as `python training_ranks.py RANK FOLDER`; the answers lie in FOLDER/RANK.json.
"""

import functools
import json
import random
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from transformers.trainer_utils import seed_worker

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


def both(worker_id, theirs):
    theirs(worker_id)
    worker_init_fn(worker_id)


def draw(seed, init):
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(seed)
    dataset = Drawn()
    sampler = DistributedSampler(dataset, shuffle=False)
    loader = DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=WORKERS, worker_init_fn=init)
    return [pair for _ in range(EPOCHS) for pair in loader]


def stacks(rank):
    lightning = functools.partial(put_rank_into_torchs_seed, rank=rank)
    trainer = functools.partial(seed_worker, num_workers=WORKERS, rank=rank)
    return {
        "lightning": (137, lightning),
        "lightning and ours": (137, functools.partial(both, theirs=lightning)),
        "the Trainer": (137, trainer),
        "the Trainer and ours": (137, functools.partial(both, theirs=trainer)),
        "plain DDP": (137 + rank, worker_init_fn),
    }


def main(rank, folder):
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(str(folder / "ranks"), RANKS), rank=rank, world_size=RANKS
    )
    answers = {name: [draw(*stack), draw(*stack)] for name, stack in stacks(rank).items()}
    (folder / f"{rank}.json").write_text(json.dumps(answers))
    torch.distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

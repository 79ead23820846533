"""Cheap backends for the generation job, made known to its processes by `--import job_backends`."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from albu_diffusemix.backends import Counterpart, register_backend
from albu_diffusemix.keys import derive_seed


class Negative:
    """Negatives, shifted in brightness by the seed; on demand slow, picky, failing or deadly.

    Args:
        delay: Seconds an image.
        reject: "blank" images for seeds whose remainder by 3 is not 0, or the status to give for all images.
        fail_on, die_on: Raise, or kill the process, for keys with that in them.
        die_once: A file; the process is killed if it is there, and it is removed.
        hold: A file; nothing is made as long as it is there.
        hang_on: For keys with that in them, hang in a call that no signal interrupts.
        nearest: The prompt that is used in place of any other.
        log: A file that gets the keys of each batch as it is begun.
        batch_size: Requests at once.
    """

    prompts = ("snowy", "sunset", "aurora")

    def __init__(
        self,
        delay=0.0,
        reject="",
        fail_on="",
        die_on="",
        die_once="",
        hold="",
        hang_on="",
        nearest="",
        log="",
        batch_size=4,
    ):
        self.delay, self.reject, self.fail_on, self.die_on, self.die_once = delay, reject, fail_on, die_on, die_once
        self.hold, self.hang_on, self.nearest = hold, hang_on, nearest
        self.log, self.batch_size = log, batch_size
        self.fingerprint = f"negative {reject}"

    def check_prompt(self, prompt):
        if prompt == "impossible":
            raise ValueError("unknown prompt 'impossible'")

    def generate(self, requests):
        if self.die_once and Path(self.die_once).exists():
            Path(self.die_once).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write("".join(f"{request.key}\n" for request in requests))
        while self.hold and Path(self.hold).exists():
            time.sleep(0.02)
        return [self.make(request) for request in requests]

    def make(self, request):
        time.sleep(self.delay)
        if self.die_on and self.die_on in request.key:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.hang_on and self.hang_on in request.key:
            hang()
        if self.fail_on and self.fail_on in request.key:
            raise RuntimeError(f"cannot do {request.key}")
        if self.reject == "blank" and request.seed % 3:
            return Counterpart(np.zeros_like(request.image), "ok", request.prompt)
        if self.reject and self.reject != "blank":
            return Counterpart(None, self.reject, request.prompt)
        shift = derive_seed(request.seed, "", request.prompt, "") % 64
        made = np.ascontiguousarray(255 - request.image // 2 - shift)
        return Counterpart(made, "ok", self.nearest or request.prompt)


class Unloadable(Negative):
    """One whose model cannot be loaded."""

    def load(self):
        raise OSError("its weights are gone")


def hang():
    """Wait for a mutex that this thread holds already."""
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)


register_backend("negative", "job_backends:Negative")
register_backend("unloadable", "job_backends:Unloadable")

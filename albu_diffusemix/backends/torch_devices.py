"""Which torch device and number format are used, and what a provenance says of them."""

from importlib.metadata import version

import torch

__all__ = ["choose_device", "choose_dtype", "provenance"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" takes the first of cuda, mps and cpu that there is.

    Raises:
        ValueError: It is not there; or it is CUDA, in a process that was forked after its parent had used CUDA.

    """
    if name in ("cpu", "mps") and (name == "cpu" or torch.backends.mps.is_available()):
        return torch.device(name)
    if name != "mps" and torch.cuda._is_in_bad_fork():  # noqa: SLF001  there is no public way to ask
        raise ValueError(
            "CUDA cannot be used in a forked process: generate the counterparts beforehand (albu-diffusemix generate) "
            "and train from the store, or start the DataLoader's workers with multiprocessing_context='spawn', or use "
            "num_workers=0"
        )
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    count = torch.cuda.device_count() if name.startswith("cuda") else 0
    if int(name.partition(":")[2] or 0) >= count:
        raise ValueError(f"device {name!r} is not here (CUDA devices: {count}); use device='auto'")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device, on_gpu: str = "float16") -> torch.dtype:
    """Return the dtype of that name.

    Args:
        name: "auto" is `on_gpu` on CUDA, and float32 elsewhere.
        device: Where it is used.
        on_gpu: What a model is made for; a card that has no bfloat16 takes float16 in its place.

    """
    if name != "auto":
        return _DTYPES[name]
    if device.type != "cuda":
        return torch.float32
    lacks = on_gpu == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return _DTYPES["float16" if lacks else on_gpu]


def provenance(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """Return what the bits of an image depend on beside the fingerprint."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    versions = {package: version(package) for package in ("torch", "diffusers", "transformers")}
    threads = {"threads": str(torch.get_num_threads())} if device.type == "cpu" else {}
    return {"device": name, "dtype": str(dtype).removeprefix("torch."), **threads, **versions}

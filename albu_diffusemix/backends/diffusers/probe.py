"""Whether a loaded pipeline does what it is asked: it is tried on one image before the first of a run."""

import numpy as np

from albu_diffusemix.backends.diffusers.call_plan import CallPlan
from albu_diffusemix.backends.diffusers.stock import StockEditor
from albu_diffusemix.backends.editing import ModelInput
from albu_diffusemix.text import in_one_line

__all__ = ["check_by_probe"]


def check_by_probe(editor: StockEditor, plan: CallPlan) -> None:
    """Draw a probe image and its negative; for a pipeline that is not in the table, the probe image once more.

    Raises:
        ValueError: The call fails, the source is not used, the shape is another, or the second draw of the same differs
            from the first; the message says which.

    """
    fault = _fault(editor, plan)
    if fault:
        raise ValueError(f"{plan.family.pipeline} cannot be used so: a probe image, drawn before all others, {fault}")


def _fault(editor: StockEditor, plan: CallPlan) -> str:
    probe = ModelInput(_ramps(*plan.sides(2, 3)), plan.template.replace("{prompt}", "a painting"), 1)
    wanted = [probe, probe._replace(image=255 - probe.image), *([] if plan.is_known else [probe])]
    try:
        first, negative, *again = (editor.edit([one])[0].image for one in wanted)
    except Exception as error:  # noqa: BLE001  whatever a pipeline raises here, it would raise for each image
        return f"failed ({type(error).__name__}: {in_one_line(error)})"
    if first.shape != probe.image.shape:
        return f"has the shape {probe.image.shape} and came back with {first.shape}: give a size that it keeps"
    if np.array_equal(first, negative, equal_nan=True):
        if not np.isfinite(first).all():
            return "came out as NaN, which is no color: give another dtype"
        return "came out like its negative: the source is ignored; take a lower strength, more steps or another model"
    if again and not np.array_equal(first, again[0], equal_nan=True):
        return "came out otherwise the second time, from the same prompt and seed"
    return ""


def _ramps(height: int, width: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Return an image that differs from itself under every flip and turn."""
    down, right = (np.linspace(0, 255, side).astype(np.uint8) for side in (height, width))
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = right, down[:, None], right[::-1] // 2
    return image

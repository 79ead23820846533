"""The editing pipelines of diffusers that are known by name, as a table: how each is called, and with what.

Defaults are those of each model's card. Which of several rows holds for a checkpoint is read from its configuration or
its id, and never guessed. All rows are tested with random weights of a few kilobytes; none was run here with real ones.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

__all__ = ["CALL_OPTIONS", "FAMILIES", "INSTRUCT", "XL_INSTRUCT", "Family", "find_family", "refuse_by_name"]

INSTRUCT = "StableDiffusionInstructPix2PixPipeline"
XL_INSTRUCT = "StableDiffusionXLInstructPix2PixPipeline"
CALL_OPTIONS = ("num_inference_steps", "guidance_scale", "image_guidance_scale", "strength", "negative_prompt")
"""What a user may give for the call of every pipeline, as far as it takes them."""

_PLAIN = "Make the image look like this: {prompt}. Keep every object and its place."
_DESCRIBED = "{prompt}"  # image to image wants a description of the result, not an instruction


class Family(NamedTuple):
    """How a kind of checkpoint is called.

    Attributes:
        name: For people.
        pipeline: The class in diffusers.
        options: What it takes of `CALL_OPTIONS`, with the names in its call.
        defaults: Values of these, by our names; InstructPix2Pix has presets in their place.
        when: Facts that tell this row from others of the same pipeline: "id" is an expression that is searched in the
            checkpoint's names, others are entries of `model_index.json` or, after a slash, of a part's `config.json`;
            `bool` stands for any that is not empty.
        from_text: Pipelines that only take text, whose parts make this one.
        image: What `image` means: a tensor in [0, 1], a picture, or a list of pictures.
        image_name: The argument for it.
        together: What one call may make: one image, several images by lists ("each"), or several prompts of one image.
        keeps_prompts: Whether prompts are encoded apart, once, by `encode_prompt`.
        sized: What decides the size: the image itself, height and width, with an area or a resolution (its root)
            beside them, the pipeline's list of resolutions, or nothing that a caller has.
        grid: Sides are multiples of it, in pixels.
        size: Side of the square that the model is made for, in pixels.
        least: The shortest side that it takes, in pixels.
        loaded_with: More arguments of `from_pretrained`, for what a checkpoint does not keep.
        fixed: More arguments of each call.
        noise: "diffusion", "flow" or "edm": which samplers go with it.
        dtype: Of its weights on a GPU.
        vae_dtype: Of its autoencoder, where another is needed.
        template: Around each prompt.
        image_mark: What stands for the image in a prompt, if it has to be named there.
        packages: Needed beside those of all.
        result: The attribute of the call's answer.
        since: The first version of diffusers that has the pipeline.

    """

    name: str
    pipeline: str
    options: Mapping[str, str]
    defaults: Mapping[str, Any] = {}
    when: Mapping[str, Any] = {}
    from_text: tuple[str, ...] = ()
    image: Literal["tensor", "picture", "pictures"] = "picture"
    image_name: str = "image"
    together: Literal["one", "each", "prompts"] = "one"
    keeps_prompts: bool = False
    sized: Literal["image", "sides", "area", "resolution", "resolutions", "fixed"] = "sides"
    grid: int = 16
    size: int = 1024
    least: int = 16
    loaded_with: Mapping[str, Any] = {}
    fixed: Mapping[str, Any] = {}
    noise: Literal["diffusion", "flow", "edm", "unknown"] = "flow"
    dtype: str = "bfloat16"
    vae_dtype: str | None = None
    template: str = _PLAIN
    image_mark: str = ""
    packages: tuple[str, ...] = ()
    result: str = "images"
    since: str = "0.34"


def _options(*names: str, **renamed: str) -> dict[str, str]:
    return {"num_inference_steps": "num_inference_steps", **{name: name for name in names}, **renamed}


def _steps(count: int, guidance: float | None = None, **more: Any) -> dict[str, Any]:
    return {"num_inference_steps": count, **({} if guidance is None else {"guidance_scale": guidance}), **more}


def _without_steps(options: Mapping[str, str]) -> dict[str, str]:
    return {name: taken for name, taken in options.items() if name != "num_inference_steps"}


_BY_IMAGE = _options("guidance_scale", "image_guidance_scale", "negative_prompt")
_NOISED = _options("guidance_scale", "strength", "negative_prompt")
_TRUE_GUIDANCE = _options("negative_prompt", guidance_scale="true_cfg_scale")
_NO_WORDS = " "  # without a negative prompt Qwen's pipelines leave guidance out

_INSTRUCT = Family(
    "InstructPix2Pix", INSTRUCT, _BY_IMAGE, grid=8, size=256, noise="diffusion", dtype="float16",
    image="tensor", together="each", sized="image", template=_DESCRIBED,
)  # fmt: skip
_XL_INSTRUCT = _INSTRUCT._replace(
    name="SDXL InstructPix2Pix", pipeline=XL_INSTRUCT, keeps_prompts=True, sized="sides", size=768
)
_SD = _INSTRUCT._replace(
    name="Stable Diffusion", pipeline="StableDiffusionImg2ImgPipeline", options=_NOISED, keeps_prompts=True, size=512,
    from_text=("StableDiffusionPipeline",), defaults=_steps(50, 7.5, strength=0.8),
)  # fmt: skip
_SDXL = _SD._replace(
    name="SDXL", pipeline="StableDiffusionXLImg2ImgPipeline", from_text=("StableDiffusionXLPipeline",), size=1024,
    defaults=_steps(50, 5.0, strength=0.3),
)  # fmt: skip
_SD3 = Family(
    "Stable Diffusion 3", "StableDiffusion3Img2ImgPipeline", _NOISED, _steps(28, 7.0, strength=0.6),
    from_text=("StableDiffusion3Pipeline",), image="tensor", together="each", template=_DESCRIBED,
)  # fmt: skip
_FLUX = _SD3._replace(
    name="FLUX.1 dev", pipeline="FluxImg2ImgPipeline", from_text=("FluxPipeline",),
    options=_options("guidance_scale", "strength"), defaults=_steps(28, 3.5, strength=0.6),
)  # fmt: skip
_Z_IMAGE = _SD3._replace(
    name="Z-Image", pipeline="ZImageImg2ImgPipeline", from_text=("ZImagePipeline",),
    defaults=_steps(50, 4.0, strength=0.6), since="0.36",
)  # fmt: skip
_KLEIN = Family(
    "FLUX.2 klein base", "Flux2KleinPipeline", _options("guidance_scale"), _steps(50, 4.0), together="prompts",
    least=64, since="0.37",
)  # fmt: skip
_QWEN_EDIT = Family(
    "Qwen-Image-Edit", "QwenImageEditPipeline", _TRUE_GUIDANCE, _steps(50, 4.0, negative_prompt=_NO_WORDS),
    vae_dtype="float32", packages=("torchvision",), since="0.35",
)  # fmt: skip
_QWEN_21 = _QWEN_EDIT._replace(
    name="Qwen-Image 2.1", pipeline="QwenImage21Pipeline", sized="resolution", grid=32, vae_dtype=None, since="0.41",
    defaults=_steps(40, 1.0, negative_prompt=_NO_WORDS),
)  # fmt: skip
_LONGCAT = Family(
    "LongCat-Image-Edit", "LongCatImageEditPipeline", _options("guidance_scale", "negative_prompt"), _steps(50, 4.5),
    sized="fixed", packages=("torchvision",), since="0.37",
)  # fmt: skip

FAMILIES = (
    _INSTRUCT,
    _XL_INSTRUCT._replace(
        name="CosXL Edit", when={"scheduler": ["diffusers", "EDMEulerScheduler"]}, size=1024, noise="edm",
        loaded_with={"is_cosxl_edit": True},
        defaults=_steps(20, 7.0, image_guidance_scale=1.5),
    ),
    _XL_INSTRUCT,
    _SD._replace(
        name="SD-Turbo", when={"id": r"(?i)\bsd-turbo\b"}, size=512, defaults=_steps(2, 0.0, strength=0.5)
    ),
    _SD,
    _SDXL._replace(
        name="SDXL-Turbo", when={"id": r"(?i)\bsdxl-turbo\b"}, size=512, defaults=_steps(2, 0.0, strength=0.5)
    ),
    _SDXL,
    _SD3._replace(
        name="Stable Diffusion 3.5 Turbo", when={"id": r"(?i)3.5-large-turbo"}, defaults=_steps(4, 0.0, strength=0.6)
    ),
    _SD3,
    _FLUX._replace(
        name="FLUX.1 schnell", when={"transformer/guidance_embeds": False}, defaults=_steps(4, 0.0, strength=0.6)
    ),
    _FLUX,
    _Z_IMAGE._replace(name="Z-Image-Turbo", when={"id": r"(?i)z-image-turbo"}, defaults=_steps(9, 0.0, strength=0.6)),
    _Z_IMAGE,
    _SD3._replace(
        name="Qwen-Image", pipeline="QwenImageImg2ImgPipeline", from_text=("QwenImagePipeline",), together="one",
        options={**_TRUE_GUIDANCE, "strength": "strength"}, vae_dtype="float32", since="0.35",
        defaults=_steps(50, 4.0, strength=0.6, negative_prompt=_NO_WORDS),
    ),
    Family(
        "FLUX.1 Kontext", "FluxKontextPipeline", _options("guidance_scale"), _steps(28, 2.5), sized="area",
        fixed={"_auto_resize": False}, since="0.35",
    ),
    _KLEIN._replace(
        name="FLUX.2 klein", when={"is_distilled": True}, options=_options(), defaults=_steps(4),
        fixed={"guidance_scale": 1.0},
    ),
    _KLEIN,
    _KLEIN._replace(
        name="FLUX.2 klein KV", pipeline="Flux2KleinKVPipeline", options=_options(), defaults=_steps(4), together="one",
        since="0.38",
    ),
    _KLEIN._replace(name="FLUX.2 dev", pipeline="Flux2Pipeline", since="0.36"),
    _QWEN_EDIT,
    _QWEN_EDIT._replace(
        name="Qwen-Image-Edit-2509", pipeline="QwenImageEditPlusPipeline", image="pictures", since="0.36",
        defaults=_steps(40, 4.0, negative_prompt=_NO_WORDS),
    ),
    _QWEN_21._replace(
        name="Qwen-Image 2.1 Turbo", when={"sample_sigmas": bool}, fixed={"num_inference_steps": 8},
        options=_without_steps(_TRUE_GUIDANCE), defaults={"guidance_scale": 1.0, "negative_prompt": _NO_WORDS},
    ),
    _QWEN_21,
    _LONGCAT._replace(
        name="LongCat-Image-Edit-Turbo", when={"id": r"(?i)longcat-image-edit-turbo"}, defaults=_steps(8, 1.0)
    ),
    _LONGCAT,
    Family(
        "OmniGen", "OmniGenPipeline", _options("guidance_scale", image_guidance_scale="img_guidance_scale"),
        _steps(50, 2.5, image_guidance_scale=1.6), image="pictures", image_name="input_images",
        image_mark="<img><|image_1|></img>", packages=("torchvision",),
    ),
    Family(
        "Kandinsky 5 image editing", "Kandinsky5I2IPipeline", _options("guidance_scale", "negative_prompt"),
        _steps(50, 3.5), sized="resolutions", packages=("torchvision",), result="image", since="0.36",
    ),
)  # fmt: skip
"""Of rows for one pipeline the first that holds counts; those with no `when` hold always."""

_NOT_EDITORS = {
    r"Modular": "is put together from blocks, which are not called as other pipelines are",
    r"Video|I2V|T2V|V2V|2V[A-Z]?Pipeline|TI2V|Animate|Animat|VACE|SVD|ChronoEdit|LTX|SkyReels|Cosmos|Helios|PIA|ConsisID"
    r"|SanaWM|I2VGen|World": "makes video",
    r"ControlNet|Control|Adapter": "takes the image for a control map, not for a source to edit",
    r"Inpaint|Fill|DiffEdit|GLIGEN": "wants a mask beside the image",
    r"Upscale|SuperResolution|Refiner": "enlarges or refines images, and does not edit them",
    r"UnCLIP|Cascade|Versatile|UniDiffuser|Variation|VisualCloze|PaintByExample": "keeps nothing where it is",
    r"Layered": "takes the image apart into layers",
    r"Prior|Redux|Audio|Music|Gemma": "makes no image",
}


def refuse_by_name(class_name: str, model_id: str) -> None:
    """Raise ValueError for a pipeline whose name says that it edits no image by a prompt."""
    for names, reason in _NOT_EDITORS.items():
        if re.search(names, class_name):
            raise ValueError(f"{class_name} of {model_id!r} {reason}: give a checkpoint that edits images by a prompt")


def find_family(class_name: str, fact: Callable[[str], Any]) -> Family | None:
    """Return the row for a checkpoint, None where there is none.

    Args:
        class_name: Its pipeline.
        fact: Tells what its configuration says under a name, as for `Family.when`; None where it says nothing.

    """
    for family in FAMILIES:
        if class_name in (family.pipeline, *family.from_text) and all(
            _holds(name, value, fact(name)) for name, value in family.when.items()
        ):
            return family
    return None


def _holds(name: str, expected: Any, found: Any) -> bool:
    if name == "id":
        return re.search(expected, found or "") is not None
    return bool(found) if expected is bool else bool(found == expected)

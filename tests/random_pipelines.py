"""Strategies for pipelines of our transforms among those of the host that both hosts have and know alike."""

import albumentations as A
from hypothesis import strategies as st

from albu_diffusemix import PAPER_PROMPTS, DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix.masks import MASKS

SMALLEST = 8
"""Side in pixels at which crops and resizes end or which they exceed, so that any order of them runs."""

ODDS = st.sampled_from([0.3, 0.8, 1.0])
SIDES = st.integers(SMALLEST, 24)

# With their default arguments, since the hosts name many of them differently. Left out for flaws of the 2.0.8 host:
# PadIfNeeded, RGBShift and SafeRotate do not accept what they save, Superpixels divides by zero on 8x8 pixels,
# PiecewiseAffine warns of itself.
BY_NAME = """
    AdditiveNoise AutoContrast CLAHE ChannelDropout ChannelShuffle CoarseDropout ColorJitter D4 Defocus Downscale
    ElasticTransform Emboss Equalize Erasing FancyPCA GaussNoise GaussianBlur GridDistortion GridDropout HorizontalFlip
    HueSaturationValue ISONoise Illumination ImageCompression InvertImg MedianBlur Morphological MotionBlur
    MultiplicativeNoise OpticalDistortion Perspective PixelDropout PlanckianJitter Posterize RandomBrightnessContrast
    RandomFog RandomGamma RandomGridShuffle RandomRotate90 RandomShadow RandomSnow RandomToneCurve Rotate SaltAndPepper
    Sharpen ShotNoise Solarize Spatter ToGray ToSepia Transpose UnsharpMask VerticalFlip ZoomBlur
""".split()  # noqa: SIM905  fifty names read better in rows

NATIVE = st.one_of(
    st.builds(lambda name, p: getattr(A, name)(p=p), st.sampled_from(BY_NAME), ODDS),
    st.builds(A.RandomCrop, height=st.just(SMALLEST), width=st.just(SMALLEST), p=ODDS),
    st.builds(A.CenterCrop, height=st.just(SMALLEST), width=st.just(SMALLEST), p=ODDS),
    st.builds(A.Resize, height=SIDES, width=SIDES, p=ODDS),
    st.builds(A.RandomResizedCrop, size=st.tuples(SIDES, SIDES), p=ODDS),
    st.builds(A.Pad, padding=st.integers(0, 4), p=ODDS),
    st.builds(A.Affine, rotate=st.integers(0, 90).map(lambda angle: (-angle, angle)), p=ODDS),
)


def _several(values: object) -> st.SearchStrategy:
    return st.lists(st.sampled_from(list(values)), min_size=1, max_size=3, unique=True).map(tuple)


def _rising_pairs() -> st.SearchStrategy:
    return st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(tuple)


CONCATENATION = {"mask_types": _several(MASKS), "seam_width": st.floats(0, 1)}
BLENDING = {"alpha_range": _rising_pairs()}
BACKENDS = [
    {"backend": st.just("procedural"), "prompts": st.none() | _several(PAPER_PROMPTS)},
    {"backend": st.fixed_dictionaries({"name": st.just("inverting"), "status": st.just("ok")}), "prompts": st.none()},
]
OURS = st.one_of(
    st.builds(FractalBlend, **BLENDING, p=ODDS),
    *(st.builds(HalfConcat, **backend, **CONCATENATION, p=ODDS) for backend in BACKENDS),
    *(st.builds(DiffuseMix, **backend, **CONCATENATION, **BLENDING, p=ODDS) for backend in BACKENDS),
)


def _nested(children: st.SearchStrategy) -> st.SearchStrategy:
    some = st.lists(children, min_size=2, max_size=3)
    return st.one_of(
        st.builds(A.Sequential, some, p=ODDS),
        st.builds(A.OneOf, some, p=ODDS),
        st.builds(A.SomeOf, some, n=st.integers(1, 2), replace=st.booleans(), p=ODDS),
        st.builds(A.Compose, some, p=ODDS),
    )


PARTS = st.recursive(NATIVE | OURS, _nested, max_leaves=4)
TENSOR = ["ToTensorV2"] if hasattr(A, "ToTensorV2") else []  # absent where there is no torch
ENDINGS = st.sampled_from([[], ["Normalize"], ["Normalize", *TENSOR], TENSOR])


@st.composite
def pipelines(draw: st.DrawFn) -> A.Compose:
    """A transform of ours between up to two parts on either side, each a transform or a tree of them."""
    before, after = (draw(st.lists(PARTS, max_size=2)) for _ in range(2))
    ending = [getattr(A, name)() for name in draw(ENDINGS)]
    return A.Compose([*before, draw(OURS), *after, *ending])

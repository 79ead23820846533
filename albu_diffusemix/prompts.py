"""The paper's prompts and template, the class in a prompt, and a linter for prompts known to harm."""

import re
from collections.abc import Collection, Mapping

__all__ = ["LABEL", "PAPER_PROMPTS", "PAPER_TEMPLATE", "RAIN", "fill_label", "is_filled_from", "lint_prompt"]

PAPER_PROMPTS = (
    "autumn",
    "snowy",
    "sunset",
    "watercolor art",
    "rainbow",
    "aurora",
    "mosaic",
    "ukiyo-e",
    "a sketch with crayon",
)
"""The nine prompts of the paper, section 4, "Textual Prompt Selection"."""

RAIN = "rain"
"""A tenth prompt, from the code in the paper's supplement; figure 5 counts ten."""

PAPER_TEMPLATE = "A transformed version of image into {prompt}"
"""What the paper wraps around each prompt; diffusion backends apply it, others have no use for it."""

LABEL = "{label}"
"""What the generation job replaces by the name of the source's class."""

_TEMPLATE_OPENING = PAPER_TEMPLATE.partition("{")[0].strip()
_MOST_WORDS = 5
_WORD = re.compile(r"[\w']+")
_PLACEHOLDER = re.compile(r"[{<\[]\s*\w*\s*[}>\]]")

_VOCABULARY = (
    "a an and at by in into like of on the to with version style styled effect filter look tone toned light lighting "
    "lit weather season mood atmosphere art artwork drawing sketch painting print photo picture image scene "
    "watercolor watercolour crayon pencil charcoal ink oil pastel acrylic gouache chalk marker woodblock engraving "
    "mosaic stained glass pixel comic cartoon anime manga poster collage origami claymation pop abstract cubist cubism "
    "impressionist impressionism expressionist expressionism surrealist surrealism pointillism baroque renaissance "
    "ukiyo e nouveau deco vintage retro sepia monochrome grayscale greyscale noir black white neon cyberpunk "
    "autumn winter summer spring snow snowy sunset sunrise dawn dusk twilight night day daylight morning evening noon "
    "rain rainy rainbow aurora borealis fog foggy mist misty haze hazy storm stormy cloud cloudy sunny frost frosty "
    "frozen icy wet dry dusty windy moonlight golden hour warm cold cool hot bright dark dim soft vivid pale muted "
    "colorful colourful red orange yellow green blue purple violet pink brown gray grey gold silver bronze "
    "blurred grainy faded glowing shiny metallic wooden underwater"
)
_EFFECT_WORDS = frozenset(_VOCABULARY.split())
"""Words that name a global effect, a medium, a season, a weather or a colour: what the paper calls filter-like."""


def fill_label(prompt: str, label: str, class_names: Mapping[str, str]) -> str:
    """Return a prompt with the name of a class in the place of each `{label}`.

    Args:
        prompt: With `{label}` in it, or not.
        label: The class.
        class_names: The names of those that have another one than their label with spaces for underscores.

    Examples:
        >>> from albu_diffusemix.prompts import fill_label
        >>> fill_label("a {label} in snow", "sunflower_field", {"n11939491": "daisy"})
        'a sunflower field in snow'

    """
    return prompt.replace(LABEL, class_names.get(label, label.replace("_", " ")))


def is_filled_from(filled: str, prompt: str) -> bool:
    """Return whether `fill_label` makes one prompt of the other, whatever the class.

    Examples:
        >>> from albu_diffusemix.prompts import is_filled_from
        >>> is_filled_from("a rose in snow", "a {label} in snow"), is_filled_from("snowy", "snowy")
        (True, True)

    """
    first, *others = map(re.escape, prompt.split(LABEL))
    pattern = f"{first}(?P<label>.+){'(?P=label)'.join(others)}"
    return filled == prompt or (bool(others) and re.fullmatch(pattern, filled, re.DOTALL) is not None)


def lint_prompt(prompt: str, class_names: Collection[str] = ()) -> list[str]:
    """Say what is likely to harm in a prompt; the paper's own nine are clean.

    A prompt should name one global visual effect. A noun that names an object, a class name above all, makes a
    diffusion model draw that object, and the label no longer holds; long descriptive prompts lead far away from the
    source (paper, appendix 3).

    The class by `{label}` is a case of its own: each image is then described as what it shows. The paper does without,
    since its prompts are to fit all images, so this is found too, and is the user's to decide.

    Args:
        prompt: The prompt, without the template.
        class_names: Labels of the data set, where they are known. Default: no labels.

    Returns:
        One reason a finding, each with the prompt and what to do; empty where nothing is found.

    Examples:
        >>> from albu_diffusemix import lint_prompt
        >>> lint_prompt("watercolor art")
        []
        >>> lint_prompt(" snowy")
        ["prompt ' snowy' begins or ends with white space: remove it"]

    """
    if not prompt.strip():
        return [f"prompt {prompt!r} is empty: name an effect, such as 'snowy'"]
    findings = []
    if prompt != prompt.strip():
        findings.append(f"prompt {prompt!r} begins or ends with white space: remove it")
    if LABEL in prompt:
        findings.append(
            f"prompt {prompt!r} names the class of each image, which `albu-diffusemix generate` fills in: the paper's "
            "prompts name none, so that they fit all images (section 4); look at the contact sheet of a few first"
        )
    bare = prompt.replace(LABEL, " ")
    if _PLACEHOLDER.search(bare):
        findings.append(f"prompt {prompt!r} holds a placeholder that nothing fills in: write the effect in its place")
        return findings
    if prompt.startswith(_TEMPLATE_OPENING):
        findings.append(f"prompt {prompt!r} holds the paper's template already: give the effect alone")
        return findings
    words = _WORD.findall(bare.lower())
    labels = [label for label in class_names if re.search(rf"\b{re.escape(label.lower())}\b", bare.lower())]
    if labels:
        findings.append(f"prompt {prompt!r} names the class {labels[0]!r}: every image would be drawn as that class")
    if len(words) > _MOST_WORDS:
        findings.append(
            f"prompt {prompt!r} has {len(words)} words: long descriptions lead far away from the source "
            f"(paper, appendix 3); keep to {_MOST_WORDS}",
        )
    objects = [word for word in words if word not in _EFFECT_WORDS and not word.isdigit()]
    if objects:
        findings.append(
            f"prompt {prompt!r} may name an object ({', '.join(objects)}), which is then drawn into the image and "
            "breaks its label; name a global effect, as the paper's prompts do",
        )
    return findings

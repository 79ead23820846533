"""The paper's prompts and template, and a linter for prompts known to harm."""

import re
from collections.abc import Collection

__all__ = ["PAPER_PROMPTS", "PAPER_TEMPLATE", "RAIN", "lint_prompt"]

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

_TEMPLATE_OPENING = PAPER_TEMPLATE.partition("{")[0].strip()
_MOST_WORDS = 5
_WORD = re.compile(r"[\w']+")
_PLACEHOLDER = re.compile(r"[{<\[]\s*\w*\s*[}>\]]")

_VOCABULARY = (
    "a an and by in into like of on the to with version style styled effect filter look tone toned light lighting lit "
    "weather season mood atmosphere art artwork drawing sketch painting print photo picture image scene "
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


def lint_prompt(prompt: str, class_names: Collection[str] = ()) -> list[str]:
    """Say what is likely to harm in a prompt; the paper's own nine are clean.

    A prompt should name one global visual effect. A noun that names an object, a class name above all, makes a
    diffusion model draw that object, and the label no longer holds; long descriptive prompts lead far away from the
    source (paper, appendix 3).

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
    if _PLACEHOLDER.search(prompt):
        findings.append(f"prompt {prompt!r} holds a placeholder that nothing fills in: write the effect in its place")
        return findings
    if prompt.startswith(_TEMPLATE_OPENING):
        findings.append(f"prompt {prompt!r} holds the paper's template already: give the effect alone")
        return findings
    words = _WORD.findall(prompt.lower())
    labels = [label for label in class_names if re.search(rf"\b{re.escape(label.lower())}\b", prompt.lower())]
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

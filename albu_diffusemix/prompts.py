"""The paper's prompts and template, and a linter for prompts known to harm."""

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

import pytest

from albu_diffusemix.prompts import PAPER_PROMPTS, PAPER_TEMPLATE, RAIN, lint_prompt


def test_the_papers_prompts_are_nine_and_clean():
    assert len(PAPER_PROMPTS) == 9
    assert [finding for prompt in (*PAPER_PROMPTS, RAIN) for finding in lint_prompt(prompt)] == []


def test_the_papers_template_takes_a_prompt():
    assert PAPER_TEMPLATE.format(prompt="snowy") == "A transformed version of image into snowy"


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (" snowy", "white space"),
        ("snowy\n", "white space"),
        ("{prompt}", "placeholder that nothing fills in"),
        ("a photo of <name> in winter", "placeholder"),
        (PAPER_TEMPLATE.format(prompt="snowy"), "holds the paper's template already"),
        ("a golden retriever", "may name an object (retriever)"),
        ("Sunset photo that looks like it's taken with 1990s camera", "has 10 words: long descriptions"),
    ],
)
def test_a_harmful_prompt_is_found_with_the_reason(prompt, reason):
    assert any(reason in finding and repr(prompt) in finding for finding in lint_prompt(prompt))


@pytest.mark.parametrize(
    "prompt", ["oil painting", "foggy morning", "Black and White", "stained-glass", "vintage photo"]
)
def test_a_global_effect_in_other_words_is_clean(prompt):
    assert lint_prompt(prompt) == []


def test_a_class_name_is_found_by_whole_words():
    [finding] = lint_prompt("snowy", class_names=["snow", "cat", "snowy"])
    assert finding == "prompt 'snowy' names the class 'snowy': every image would be drawn as that class"

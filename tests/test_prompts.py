import pytest

from albu_diffusemix.prompts import PAPER_PROMPTS, PAPER_TEMPLATE, RAIN, fill_label, is_filled_from, lint_prompt


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


def test_the_class_by_its_placeholder_is_found_with_what_the_paper_does_and_nothing_else():
    [finding] = lint_prompt("a {label} in snow", class_names=["label"])
    assert finding.startswith("prompt 'a {label} in snow' names the class of each image")
    assert "the paper's prompts name none, so that they fit all images (section 4)" in finding


def test_beside_the_class_a_prompt_is_looked_at_as_any_other():
    findings = lint_prompt("a {label} beside a dog and {prompt}")
    assert len(findings) == 2
    assert "placeholder that nothing fills in" in findings[1]
    assert "may name an object (dog)" in lint_prompt("{label} and a dog")[1]


@pytest.mark.parametrize("label", ["rose", "a.b*", "{label}", "two words", "line\nbreak", ""])
@pytest.mark.parametrize("prompt", ["{label}", "a {label}", "{label}, {label}!", "snowy (1)"])
def test_a_filled_prompt_is_known_again(prompt, label):
    filled = fill_label(prompt, "n1", {"n1": label})
    assert is_filled_from(filled, prompt) == bool(label or "{label}" not in prompt)


@pytest.mark.parametrize(
    ("filled", "prompt"), [("rose", "a {label}"), ("rose, daisy!", "{label}, {label}!"), ("snowy", "snow")]
)
def test_another_prompt_is_not_taken_for_a_filled_one(filled, prompt):
    assert not is_filled_from(filled, prompt)

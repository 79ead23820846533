"""docs/evidence.md: its tables and pictures, written from the rows that were committed."""

import statistics
import tempfile
from pathlib import Path

from albu_diffusemix.compare.pictures import draw_pictures
from albu_diffusemix.compare.report import Findings, lower_is_better
from albu_diffusemix.compare.runs import Results
from albu_diffusemix.compare.spec import read_spec

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
PAGE = Path("docs/evidence.md")
PICTURES = Path("docs/pictures")
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->"
FIRST = "top1"
NOT_DIFFUSION = "Counterparts here are the procedural backend's filters. They are not diffusion."


def write_page(names):
    """Write what the rows of each data set say; one without rows is left out."""
    found = [(name, findings_of(name)) for name in names]
    sections = "\n".join(section(name, findings) for name, findings in found if findings.rows)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{sections}\n{END}{after}")


def findings_of(name):
    folder = RESULTS / name
    rows = Results(folder).rows() if folder.is_dir() else {}
    return Findings(read_spec(FOLDER / f"{name}.yaml"), rows)


def section(name, findings):
    """A heading, what was found in a sentence an arm, the picture, the table, the command."""
    spec = findings.spec
    done = min(len(findings.done(arm)) for arm in spec.arms)
    title, _, model = spec.title.partition(", ")
    notes = [note for note in spec.notes if "diffusion" not in note]
    seeds = f"{done} seeds" if done == len(spec.seeds) else f"{done} of {len(spec.seeds)} seeds so far"
    return "\n".join(
        [
            f"## {title}",
            "",
            f"{model[0].upper()}{model[1:]}. {' '.join(notes)} {spec.train.epochs} epochs; {seeds}.",
            "",
            *(f"- {answer}" for answer in findings.answers()),
            "",
            f"![Paired differences to {spec.reference}, with their 95 % intervals]({picture(name, findings)})",
            "",
            f"*Paired differences to `{spec.reference}`, {seeds}. {NOT_DIFFUSION} Command: `{command(name)}`*",
            "",
            *table(findings),
            "",
            f"*{NOT_DIFFUSION}*",
            "",
        ]
    )


def table(findings):
    """A line for each arm: accuracy, then differences of every metric to the reference."""
    metrics = [FIRST, *(name for name in findings.metrics if name != FIRST)]
    names = [f"{name} {'↓' if lower_is_better(name) else '↑'}" for name in metrics]
    yield f"| | top1, mean (sd) | {' | '.join(names)} |"
    yield f"|---|---|{'---|' * len(metrics)}"
    for arm in findings.spec.arms:
        values = list(findings.values(arm, FIRST).values())
        spread = f" ({statistics.stdev(values):.1f})" if len(values) > 1 else ""
        reached = f"{statistics.mean(values):.1f}{spread}" if values else "not run"
        yield f"| {arm} | {reached} | {' | '.join(cell(findings, arm, metric) for metric in metrics)} |"


def cell(findings, arm, metric):
    """The difference to the reference, with half of its interval; in bold where the interval leaves out zero."""
    if arm == findings.spec.reference:
        values = list(findings.values(arm, metric).values())
        return f"{statistics.mean(values):.3g}" if values else ""
    difference = findings.difference(arm, metric)
    if difference is None:
        return ""
    mean = round(difference.mean, 4) + 0.0  # so that it is not -0
    if difference.seeds == 1:
        return f"{mean:+.2g}"
    text = f"{mean:+.2g} ± {(difference.high - difference.low) / 2:.2g}"
    return f"**{text}**" if difference.shown else text


def picture(name, findings):
    """Draw the differences; the picture's place for the page."""
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(findings, {}, Path(folder))
        drawn = (Path(folder) / "differences.png").read_bytes()
    (PICTURES / f"evidence_{name}.png").write_bytes(drawn)
    return f"pictures/evidence_{name}.png"


def command(name):
    return f"albu-diffusemix compare benchmarks/evidence/{name}.yaml -o benchmarks/evidence/results/{name}"

"""Figures of every counterpart, kept in the store, and choices made from them as often as one likes.

    scores/<scorer>/<shard>-<number>.parquet    columns key, variant, label, check, <scorer>_<figure>

A scorer only measures. What is thrown out is decided later, by an expression over the figures (`albu_diffusemix.curate.
rules`) or by looking; the counterparts themselves stay, so every choice can be taken back.
"""

from albu_diffusemix.curate.rules import Choice, Rule, apply_rule, undo_rules
from albu_diffusemix.curate.score_files import read_counterparts, read_scores
from albu_diffusemix.curate.scorers import ScoreOptions
from albu_diffusemix.curate.scoring import SCORERS, ScorePlan, ScoreSummary, plan_scores, run_scores

__all__ = [
    "SCORERS",
    "Choice",
    "Rule",
    "ScoreOptions",
    "ScorePlan",
    "ScoreSummary",
    "apply_rule",
    "plan_scores",
    "read_counterparts",
    "read_scores",
    "run_scores",
    "undo_rules",
]

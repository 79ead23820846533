"""Baking: a data set of mixed, labelled images on disk (D' of Algorithm 1), for trainers that know nothing of us."""

from albu_diffusemix.bake.plan import FORMATS, BakeOptions, BakePlan, make_plan
from albu_diffusemix.bake.run import BakeSummary, estimate, run

__all__ = ["FORMATS", "BakeOptions", "BakePlan", "BakeSummary", "estimate", "make_plan", "run"]

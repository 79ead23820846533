"""Counterparts from and for elsewhere: a store as a folder, as Parquet files or for Kaggle, and a folder as a store."""

from albu_diffusemix.exchange.exporter import export_folder, export_parquet
from albu_diffusemix.exchange.importer import ImportOptions, ImportPlan, plan_import, run_import
from albu_diffusemix.exchange.kaggle import export_kaggle
from albu_diffusemix.exchange.pairs import PairRows

__all__ = [
    "ImportOptions",
    "ImportPlan",
    "PairRows",
    "export_folder",
    "export_kaggle",
    "export_parquet",
    "plan_import",
    "run_import",
]

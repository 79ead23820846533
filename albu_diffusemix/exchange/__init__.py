"""Counterparts from and for elsewhere: a store as a folder or as Parquet files, and a folder as a store."""

from albu_diffusemix.exchange.arriving import ImportOptions, ImportPlan, plan_import, run_import
from albu_diffusemix.exchange.leaving import export_folder, export_parquet

__all__ = ["ImportOptions", "ImportPlan", "export_folder", "export_parquet", "plan_import", "run_import"]

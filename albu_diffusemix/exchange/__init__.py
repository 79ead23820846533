"""Counterparts from and for elsewhere: a store as a folder or as Parquet files, and a folder as a store."""

from albu_diffusemix.exchange.exporter import export_folder, export_parquet
from albu_diffusemix.exchange.importer import ImportOptions, ImportPlan, plan_import, run_import

__all__ = ["ImportOptions", "ImportPlan", "export_folder", "export_parquet", "plan_import", "run_import"]

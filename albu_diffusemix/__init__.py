"""DiffuseMix (CVPR 2024) for Albumentations pipelines."""

__version__ = "0.1.0"

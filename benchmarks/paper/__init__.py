"""The paper's tables and figures as specs of `albu-diffusemix compare`; README.md is their index."""

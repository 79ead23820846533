"""The built-in fractals: 100 images of 512x512, and what made and measured each of them in `manifest.csv`."""

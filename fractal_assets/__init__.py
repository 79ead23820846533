"""The built-in fractals: 100 images of 512x512, their measures in `manifest.csv`, and the program that made them."""

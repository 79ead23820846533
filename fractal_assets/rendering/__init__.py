"""The program that made the built-in fractals. It stays in the repository; the package carries only its images."""

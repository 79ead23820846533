"""How fast and how large it is, side by side with its competitors: `make bench`. README.md says what is counted."""

"""What small real data says about DiffuseMix: `make evidence` fetches it, compares, and writes docs/evidence.md."""

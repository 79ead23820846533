"""What real small data says about DiffuseMix: `make evidence` fetches the data, compares, and writes docs/evidence.md."""

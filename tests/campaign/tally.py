"""What a campaign counts, and how it tells of it."""

from collections import Counter


class Tally:
    """Kills, faults, reads and wrong images of a campaign."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []

    def kill(self, what: str) -> None:
        self.counts["kills"] += 1
        self.counts[f"kills of {what}"] += 1

    def reads(self, right: bool) -> None:  # noqa: FBT001  the answer of a reader
        self.counts["reads beside writers"] += 1
        if not right:
            self.complaints.append("a reader beside a writer failed")

    def wrong(self, images: int) -> None:
        self.counts["wrong images"] += images
        if images:
            self.complaints.append(f"{images} wrong images")

    def ended(self, right: bool, what: str) -> None:  # noqa: FBT001  whether a round ended as it must
        self.counts["rounds of kills"] += 1
        if not right:
            self.complaints.append(what)

    def fault(self, what: str, *, found: bool, ended: bool) -> None:
        self.counts["faults"] += 1
        self.counts["faults found"] += found
        self.counts["faults repaired"] += ended
        if not (found and ended):
            self.complaints.append(f"{what}: found {found}, repaired {ended}")

    def report(self, seconds: float, seed: int) -> str:
        names = ("rounds of kills", "kills", "kills of worker", "kills of supervisor", "kills of all")
        names += ("reads beside writers", "faults", "faults found", "faults repaired", "wrong images")
        lines = [f"campaign of {seconds:.0f} s, seed {seed}", *(f"  {name}: {self.counts[name]:,}" for name in names)]
        return "\n".join([*lines, *(f"  WRONG: {complaint}" for complaint in self.complaints)])

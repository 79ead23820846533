"""`python -m campaign --seconds 3600 --seed 0`: run a campaign, print what it did; exit status 1 if it went wrong."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from job_files import arguments, make_data

from campaign.faults import quiet, round_of_faults
from campaign.kills import round_of_kills
from campaign.oracle import read_store
from campaign.tally import Tally

FAULTS_A_ROUND = 25
SOURCES = 40


def run(folder: Path, seconds: float, seed: int) -> Tally:
    """Run rounds of kills and of faults by turns until the time is over."""
    end = time.monotonic() + seconds
    data, sound, tally = make_data(folder / "data", SOURCES), folder / "sound.dm", Tally()
    for limit in (10, 15, SOURCES):  # several parts
        if limit == SOURCES:
            shutil.copy(sound / "index/merged.idx", folder / "older.idx")
        quiet(*arguments(data, sound, "--per-image", 3, "--limit", limit))
    truth = read_store(sound)
    truth_file = folder / "truth.json"
    truth_file.write_text(json.dumps([[*name, images[0].pixels] for name, images in truth.items()]))
    number = seed << 32
    while time.monotonic() < end:
        for _ in range(FAULTS_A_ROUND):
            number += 1
            round_of_faults(folder, data, sound, truth, number, tally)
        with tempfile.TemporaryDirectory(dir=folder) as killed:
            round_of_kills(Path(killed), data, truth, truth_file, number, tally)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="campaign")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = run(Path(folder), options.seconds, options.seed)
    print(tally.report(options.seconds, options.seed))  # noqa: T201  it is a command
    return bool(tally.complaints)


if __name__ == "__main__":
    sys.exit(main())

"""How long work is going, shown and stopped: bars, summaries, Ctrl-C."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from albu_diffusemix.cli.common import INTERRUPTED
from albu_diffusemix.generate import Outcome, Summary, describe_size, stop_on_signals
from albu_diffusemix.text import printable

__all__ = ["Bar", "describe_duration", "describe_summary", "stoppable"]

_STOPPING = b"\nalbu-diffusemix: finishing the batches in progress; once more to stop at once\n"
_LAST_SECONDS = 2.0


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Return an event that Ctrl-C or SIGTERM sets, within the block."""
    stop = threading.Event()
    with stop_on_signals(stop, lambda: os.write(2, _STOPPING), _end):  # print may be in the middle of something
        yield stop


def _end() -> None:
    """End the process when the main thread had its time to do so itself, with everything sealed."""
    time.sleep(_LAST_SECONDS)
    os.write(2, b"\nalbu-diffusemix: interrupted\n")
    os._exit(INTERRUPTED)


class Bar:
    """A progress bar on stderr: rate, time to go, rejects, failures. It listens as a job's reporter.

    Args:
        total: Counterparts to come.

    """

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="image", smoothing=0.05, dynamic_ncols=True, disable=total == 0)
        self._rejects = self._failed = 0

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        self._bar.close()

    def outcome(self, outcome: Outcome) -> None:
        """Count a counterpart or a failure."""
        self._rejects += outcome.rejects
        self._failed += bool(outcome.reason)
        if outcome.rejects or outcome.reason:
            self._bar.set_postfix(rejects=self._rejects, failed=self._failed, refresh=False)
        self._bar.update()

    def done(self, key: str) -> None:
        """Bars count counterparts, not sources."""

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(printable(f"albu-diffusemix: {text}"), file=sys.stderr)


def describe_summary(summary: Summary, store: Path) -> list[str]:
    """Say in a few lines what a run did."""
    rate = summary.made / summary.seconds if summary.seconds else 0
    lines = [
        f"Made {summary.made:,} counterparts, {describe_size(summary.size)}, in {describe_duration(summary.seconds)}",
        f"Rate: {rate:.3g} a second; {summary.rejects:,} rejected, {summary.failed:,} failed",
    ]
    lines += [f"  failed: {failure.key} {failure.variant}: {failure.reason}" for failure in summary.failures]
    if summary.failed > len(summary.failures):
        lines.append(f"  ... and {summary.failed - len(summary.failures):,} more")
    lines.append(f"{'Interrupted; run the same command again to go on' if summary.interrupted else 'Store'}: {store}")
    return lines


def describe_duration(seconds: float) -> str:
    """Say a time in seconds, minutes, or hours and minutes."""
    if seconds < 60:  # noqa: PLR2004  seconds of a minute
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"  # noqa: PLR2004

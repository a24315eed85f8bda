"""What DEBUG turns off for tests."""

from dataclasses import dataclass


@dataclass
class Switches:
    """All off at the start.

    cron_paused: no expiry, no tidying, no save points. checksums_skipped: payloads and dumps need none that is right.
    """

    cron_paused: bool = False
    checksums_skipped: bool = False

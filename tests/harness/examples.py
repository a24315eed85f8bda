"""How many examples hypothesis tries: a share of what the profile says, so that the quick tier tries few of all."""

from __future__ import annotations

from hypothesis import settings


def scaled(times: float, steps: int | None = None) -> settings:
    """So many times the profile's examples; steps: of a state machine."""
    profile = settings.default
    assert profile is not None
    return settings(
        max_examples=max(1, int(profile.max_examples * times)),
        stateful_step_count=min(steps or profile.stateful_step_count, profile.stateful_step_count),
        deadline=None,
    )

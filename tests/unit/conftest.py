"""What holds for every unit test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine makes an example slow: that is no reason to fail. Under CI=true the default that
# this builds on is hypothesis' own profile for it, which draws the same examples every time.
settings.register_profile(
    "gateway", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gateway")

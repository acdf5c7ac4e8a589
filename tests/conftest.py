"""How hypothesis searches: the same examples every time by default, many random ones on request.

HYPOTHESIS_PROFILE=deep pytest     draws new examples on every run, twenty times as many.
"""

import os

from hypothesis import HealthCheck, settings

from tests.support.browser import browser

__all__ = ["browser"]  # one for all tests: playwright is started once in a process

settings.register_profile(
    "ci",
    derandomize=True,
    print_blob=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", print_blob=True, deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

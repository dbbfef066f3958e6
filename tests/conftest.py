"""No test fails for being slow: the machine may do other things at the same time."""

from hypothesis import HealthCheck, settings

# Over the profile in force, which is another one where CI is set.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

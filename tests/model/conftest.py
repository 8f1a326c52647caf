"""`pytest tests/model --hypothesis-profile=long`: stories for ten minutes and more, instead of ten seconds."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "long",
    max_examples=3_000,
    stateful_step_count=80,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

"""Training: MMEngine models with their losses, and a runner that resumes exactly."""

__all__: list[str] = []

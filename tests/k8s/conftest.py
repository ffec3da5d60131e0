"""Ray's schemas are imported first, without the warnings that these give (see that module)."""

import tests.fakes.deploying  # noqa: F401 - imported for what it silences

"""Alembic's entry point; runs on the connection that ``database.upgrade`` hands over."""

from alembic import context

from adapters.flywheel.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table="flywheel_version",
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

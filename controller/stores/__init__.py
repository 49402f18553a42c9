"""The databases: the only home of SQLModel and SQLAlchemy."""

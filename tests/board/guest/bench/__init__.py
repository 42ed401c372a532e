"""The bench hand's skills: a module for each bus, and what it is called through."""

"""The rows of a report, in modules by kind; importing one registers its rows."""

"""A run as one page: RUN/report.html."""

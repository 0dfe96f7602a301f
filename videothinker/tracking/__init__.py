"""A run told to the trackers of `report_to`, by a process each that reads what the run writes."""

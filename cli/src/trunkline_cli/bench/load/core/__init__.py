"""Schedules, records, histograms, reports and charts of a load; pure."""

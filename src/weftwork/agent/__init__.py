"""The host daemon: takes programs, keeps its targets equal to them, reports."""

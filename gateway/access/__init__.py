"""Who may see what: requirements of fields and types, and operations without what their callers may not see."""

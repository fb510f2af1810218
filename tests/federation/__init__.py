"""Federation: composition, planning, execution."""

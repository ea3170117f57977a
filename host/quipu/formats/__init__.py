"""Files of other programs, and the report page: exports and imports of an archive's contents."""

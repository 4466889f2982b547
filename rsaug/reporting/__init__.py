"""The report of a run: one page that says what was asked, what was made and what was left out."""

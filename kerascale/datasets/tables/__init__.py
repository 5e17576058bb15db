"""Tables as they are: words, gaps, dates and free text beside numbers."""

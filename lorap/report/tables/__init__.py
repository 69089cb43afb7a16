"""Tables: how each is made from the results, and how it is written."""

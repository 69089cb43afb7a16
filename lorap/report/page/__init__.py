"""The page: all tables and figures in one file of HTML."""

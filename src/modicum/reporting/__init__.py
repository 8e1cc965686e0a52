"""Results for people: tables for the terminal, plots, one self-contained HTML report; and as JSON for later."""

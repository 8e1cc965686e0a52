"""Static family: plain networks of several sizes, the frontier that adaptive networks are held against."""

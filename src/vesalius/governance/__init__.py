"""Who may do what with which data, on what basis, and how it is remembered: consent, access, audit, ethics gate."""

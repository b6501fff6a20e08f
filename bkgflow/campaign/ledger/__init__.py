"""The campaign's ledger: what was asked for, what was done, and what is left; one writer."""

"""Ideas: changes that are tried in several models, and the ledger of all that were tried."""

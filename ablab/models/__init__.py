"""Models of finished runs: loading, generating, exporting."""

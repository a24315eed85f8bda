"""The RDB format, both ways: files of every version, and the payloads of DUMP."""

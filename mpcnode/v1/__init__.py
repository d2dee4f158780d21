"""Generated from the .proto files by scripts/generate_protos.py; do not edit."""
